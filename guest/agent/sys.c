#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The kernel answers a request while it is being sent; this only guards against a kernel that doesn't. */
#define NETLINK_ANSWER_SECONDS 5

pid_t sys_fork(void)
{
	return fork();
}

#ifdef __SANITIZE_ADDRESS__
/* It takes the child's stack for a mistake. */
pid_t sys_spawn(int (*child)(void *), void *argument)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(child(argument));
	return pid;
}
#else
pid_t sys_spawn(int (*child)(void *), void *argument)
{
	static char stack[128 * 1024] __attribute__((aligned(16)));

	return clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, argument);
}
#endif

pid_t sys_fork_into(int namespaces)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)namespaces | SIGCHLD, 0, 0, 0, 0);
}

int sys_setns(int fd, int kind)
{
	return setns(fd, kind);
}

int sys_kill(pid_t pid, int signal)
{
	return kill(pid, signal);
}

int sys_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags | O_CLOEXEC, mode);
}

int sys_rename(const char *from, const char *to)
{
	return rename(from, to);
}

int sys_unlink(const char *path)
{
	return unlink(path);
}

int sys_fchmod(int fd, mode_t mode)
{
	return fchmod(fd, mode);
}

int sys_fchown(int fd, uid_t uid, gid_t gid)
{
	return fchown(fd, uid, gid);
}

int sys_mkdir(const char *path, mode_t mode)
{
	return mkdir(path, mode);
}

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	return mount(source, target, type, flags, data);
}

int sys_umount(const char *target)
{
	return umount2(target, MNT_DETACH);
}

int sys_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument);
}

int sys_settime(unsigned long long ms)
{
	struct timespec time = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L };

	return clock_settime(CLOCK_REALTIME, &time);
}

int sys_sethostname(const char *name, size_t length)
{
	return sethostname(name, length);
}

void sys_sync(void)
{
	sync();
}

int sys_reboot(int how)
{
	return reboot(how);
}

int sys_netlink_open(int protocol, unsigned group)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = NETLINK_ANSWER_SECONDS };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (group != 0 ? SOCK_NONBLOCK : 0), protocol);
	int on = 1;

	if (fd < 0)
		return -1;
	/* Unbound it would have the kernel's own address, 0, and get nothing of what the kernel sends to a group. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (group != 0 && setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* The kernel's own words with an error; an old kernel sends none. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return fd;
}

ssize_t sys_netlink_send(int fd, const void *data, size_t length)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, data, length, 0, (struct sockaddr *)&kernel, sizeof(kernel));
}

ssize_t sys_netlink_recv(int fd, void *data, size_t size)
{
	struct sockaddr_nl from;
	struct iovec iov = { data, size };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_TRUNC);
	while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0)); /* only the kernel is believed */
	return n;
}
