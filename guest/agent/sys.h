/* The edge to what changes the machine. The fuzzer links another file in its place; nothing else is replaced there. */
#ifndef HP_SYS_H
#define HP_SYS_H

#include <stddef.h>
#include <sys/types.h>

pid_t sys_fork(void);
/*
 * A child in this process's memory, which waits until the child has become another program or ended: nothing is copied that
 * execve(2) throws away. What the child writes stays; it may not return.
 */
pid_t sys_spawn(int (*child)(void *), void *argument);
/* With new namespaces (CLONE_NEW…). */
pid_t sys_fork_into(int namespaces);
int sys_setns(int fd, int kind);
int sys_kill(pid_t pid, int signal);
int sys_open(const char *path, int flags, mode_t mode);
int sys_rename(const char *from, const char *to);
int sys_unlink(const char *path);
int sys_fchmod(int fd, mode_t mode);
int sys_fchown(int fd, uid_t uid, gid_t gid);
int sys_mkdir(const char *path, mode_t mode);
int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int sys_umount(const char *target);
int sys_ioctl(int fd, unsigned long request, void *argument);
/* The real-time clock, milliseconds since 1970. */
int sys_settime(unsigned long long ms);
int sys_sethostname(const char *name, size_t length);
void sys_sync(void);
/* RB_POWER_OFF, RB_AUTOBOOT, RB_DISABLE_CAD */
int sys_reboot(int how);
/* A netlink socket of `protocol`; with a group (not 0) it is subscribed to it, and does not block. */
int sys_netlink_open(int protocol, unsigned group);
ssize_t sys_netlink_send(int fd, const void *data, size_t length);
/* The whole datagram's length, even where `size` is less. */
ssize_t sys_netlink_recv(int fd, void *data, size_t size);

#endif
