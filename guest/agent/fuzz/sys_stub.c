/* Stands in for sys.c: nothing of the machine is changed, but everything above it runs as it does in a guest. */
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../agent.h"
#include "../boot.h"
#include "../sys.h"

/* Beyond what a real system hands out, so that nothing real can be meant. */
#define FIRST_PID 500000000

static unsigned forks;
static const uint8_t *feed;
static size_t feed_length;
static uint32_t asked_sequence;

void stub_netlink_feed(const uint8_t *data, size_t length)
{
	feed = data;
	feed_length = length;
}

unsigned stub_forks(void)
{
	return forks;
}

void stub_reset(void)
{
	forks = 0;
	feed = NULL;
	feed_length = 0;
}

pid_t sys_fork(void)
{
	if (++forks % 16 == 0) {
		errno = EAGAIN;
		return -1;
	}
	return FIRST_PID + (pid_t)forks;
}

pid_t sys_spawn(int (*child)(void *), void *argument)
{
	(void)child;
	(void)argument;
	return sys_fork();
}

pid_t sys_fork_into(int namespaces)
{
	(void)namespaces;
	return sys_fork();
}

int sys_setns(int fd, int kind)
{
	(void)fd;
	(void)kind;
	return 0;
}

int sys_kill(pid_t pid, int signal)
{
	(void)signal;
	if (pid > -FIRST_PID && pid < FIRST_PID)
		abort(); /* would have been somebody else's process */
	return 0;
}

int sys_open(const char *path, int flags, mode_t mode)
{
	static unsigned terminals;
	int fd;

	(void)mode;
	/* Terminals are real, but closing one costs the kernel a thousand times what anything else here does. */
	if (strcmp(path, "/dev/ptmx") == 0 && ++terminals % 16 == 0)
		return open(path, flags | O_CLOEXEC);
	if (strstr(path, "none") != NULL) {
		errno = ENOENT;
		return -1;
	}
	fd = memfd_create("stub", MFD_CLOEXEC);
	if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && (write(fd, "content\n", 8) != 8 || lseek(fd, 0, SEEK_SET) != 0))
		abort();
	return fd;
}

int sys_rename(const char *from, const char *to)
{
	(void)from;
	(void)to;
	return 0;
}

int sys_unlink(const char *path)
{
	(void)path;
	return 0;
}

int sys_fchmod(int fd, mode_t mode)
{
	(void)fd;
	(void)mode;
	return 0;
}

int sys_fchown(int fd, uid_t uid, gid_t gid)
{
	(void)fd;
	(void)uid;
	(void)gid;
	return 0;
}

int sys_mkdir(const char *path, mode_t mode)
{
	(void)path;
	(void)mode;
	return 0;
}

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	(void)source;
	(void)target;
	(void)type;
	(void)flags;
	(void)data;
	errno = ENODEV;
	return -1;
}

int sys_umount(const char *target)
{
	(void)target;
	return 0;
}

int sys_ioctl(int fd, unsigned long request, void *argument)
{
	(void)fd;
	(void)request;
	(void)argument;
	return 0;
}

int sys_settime(unsigned long long ms)
{
	(void)ms;
	return 0;
}

int sys_sethostname(const char *name, size_t length)
{
	if (strnlen(name, length) != length)
		abort();
	return 0;
}

void sys_sync(void)
{
}

int sys_reboot(int how)
{
	(void)how;
	abort(); /* the fuzzed agent is not PID 1 */
}

int sys_netlink_open(int protocol, unsigned group)
{
	int ends[2];

	(void)protocol;
	(void)group;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	close(ends[1]);
	return ends[0];
}

ssize_t sys_netlink_send(int fd, const void *data, size_t length)
{
	(void)fd;
	if (length < sizeof(struct nlmsghdr) || ((const struct nlmsghdr *)data)->nlmsg_len != length)
		abort();
	asked_sequence = ((const struct nlmsghdr *)data)->nlmsg_seq;
	return (ssize_t)length;
}

/* Each answer is a length byte (times 4) and that many bytes; their first message gets the asked sequence number. */
ssize_t sys_netlink_recv(int fd, void *data, size_t size)
{
	size_t n;

	(void)fd;
	if (feed_length < 1) {
		errno = EAGAIN;
		return -1;
	}
	n = (size_t)feed[0] * 4;
	feed++;
	feed_length--;
	if (n > feed_length)
		n = feed_length;
	if (n > size)
		n = size;
	memcpy(data, feed, n);
	feed += n;
	feed_length -= n;
	if (n >= sizeof(struct nlmsghdr))
		((struct nlmsghdr *)data)->nlmsg_seq = asked_sequence;
	return (ssize_t)n;
}

/* Nothing is loaded here. */
void (*boot_on_settled)(void);

bool boot_settled(void)
{
	return true;
}

void boot_child_ended(pid_t pid)
{
	(void)pid;
}
