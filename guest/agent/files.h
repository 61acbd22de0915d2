#ifndef HP_FILES_H
#define HP_FILES_H

#include <sys/types.h>

#include "agent.h"

/* Replaces the file in one step, keeping the mode of one that exists; `mode` < 0: 0644 for a new one. */
bool file_replace(const char *path, const void *data, size_t length, int mode, struct failure *f);
/* The owner that the file has; root for a new one. */
#define FILE_OWNER_KEPT ((uid_t)-1)
struct file_owner {
	uid_t uid;
	gid_t gid;
};
bool file_replace_as(const char *path, const void *data, size_t length, int mode, const struct file_owner *owner,
		     struct failure *f);
/* Writes it where it is, or makes it: for what nobody can be reading yet. */
bool file_write(const char *path, const void *data, size_t length, mode_t mode, struct failure *f);
/* Writes to a file that exists, of any kind: for /proc and /sys. */
bool file_poke(const char *path, const char *text);
/* The first bytes of a small file, NUL-terminated; false if it cannot be read. */
bool file_peek(const char *path, char *text, size_t size);

#endif
