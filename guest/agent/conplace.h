/* Places in a container's root, whose links lead nowhere else. */
#ifndef HP_CONPLACE_H
#define HP_CONPLACE_H

#include <sys/types.h>

#include "agent.h"

/*
 * A descriptor (O_PATH) of `path` in the root `fd`, made with its parents where it is missing: a directory, or an empty file.
 * -1 with errno. place_name() gives the path by which the kernel takes it for a mount's target.
 */
int place_in(int fd, const char *path, bool file);
struct place_name {
	char path[32];
};
struct place_name place_name(int fd);
/* The master of a new terminal of its /dev/pts, where its programs find the other end by name. -1: it has none. */
int terminal_in(pid_t init);
/* mount(2) on `path` in the root. */
bool mount_in(int root, const char *source, const char *path, const char *type, unsigned long flags, const char *data);

#endif
