#include "conplace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int open_in(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(O_PATH | O_CLOEXEC | flags), .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int make_in(int parent, const char *name, bool file)
{
	int fd;

	if (!file)
		return mkdirat(parent, name, 0755) == 0 || errno == EEXIST ? 0 : -1;
	fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EEXIST ? 0 : -1;
}

int place_in(int root, const char *path, bool file)
{
	char part[PATH_MAX];
	size_t at = 0, length = strlen(path);

	if (length >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (;;) {
		int fd, parent;
		bool last;

		while (path[at] == '/')
			at++;
		at += strcspn(path + at, "/");
		last = path[at + strspn(path + at, "/")] == 0;
		snprintf(part, sizeof(part), "%.*s", (int)at, path);
		fd = open_in(root, at > 0 ? part : "/", last && file ? 0 : O_DIRECTORY);
		if (fd < 0 && errno == ENOENT && at > 0) {
			char *name = strrchr(part, '/');
			int made;

			if (name != NULL)
				*name = 0;
			parent = open_in(root, name != NULL && *part != 0 ? part : "/", O_DIRECTORY);
			if (parent < 0)
				return -1;
			made = make_in(parent, name != NULL ? name + 1 : part, last && file);
			close(parent);
			if (made < 0)
				return -1;
			snprintf(part, sizeof(part), "%.*s", (int)at, path);
			fd = open_in(root, part, last && file ? 0 : O_DIRECTORY);
		}
		if (fd < 0 || last)
			return fd;
		close(fd);
	}
}

struct place_name place_name(int fd)
{
	struct place_name name;

	snprintf(name.path, sizeof(name.path), "/proc/self/fd/%d", fd);
	return name;
}

int terminal_in(pid_t init)
{
	char path[32];
	struct stat st;
	int root, found, fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)init);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	found = open_in(root, "dev/pts/ptmx", 0);
	close(root);
	if (found < 0)
		return -1;
	/* Whatever the container has put there. */
	if (fstat(found, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2))
		fd = open(place_name(found).path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	close(found);
	return fd;
}

bool mount_in(int root, const char *source, const char *path, const char *type, unsigned long flags, const char *data)
{
	int fd = place_in(root, path, false), err;
	bool ok = fd >= 0 && mount(source, place_name(fd).path, type, flags, data) == 0;

	err = errno;
	if (fd >= 0)
		close(fd);
	errno = err;
	return ok;
}
