/* Whether a clone of the repository is set up: nothing has changed that scripts/set-up.cjs compiles since it last looked at it. It
 * knows better, by contents; but needs Node.js, and a hundred times as long. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_DEPTH 16

/* As in scripts/stamps.cjs. */
static const char *const SOURCES[] = {
	"src", "guest", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "scripts/bundle.mjs",
	"scripts/program-loader.cjs",
};

static bool earlier(const struct timespec *one, const struct timespec *other)
{
	return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec : one->tv_nsec < other->tv_nsec;
}

/* A file, or a directory with all that is in it, by their last change, which nobody can set. What goes or is renamed changes the
 * directory it was in. */
static bool all_earlier(int parent, const char *name, const struct timespec *seen, int depth)
{
	struct stat found;

	if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0 || !earlier(&found.st_ctim, seen))
		return false;
	if (!S_ISDIR(found.st_mode))
		return S_ISREG(found.st_mode);
	int fd = depth == MAX_DEPTH ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (directory == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	bool all = true;
	for (struct dirent *entry; all && (entry = readdir(directory)) != NULL;)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			all = all_earlier(fd, entry->d_name, seen, depth + 1);
	closedir(directory);
	return all;
}

bool clone_is_set_up(const char *root)
{
	struct stat seen, compiled, installed, main;
	struct timespec now;
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* What was seen when that file was written is what the stamps are of. */
	bool current = fd >= 0 && fstatat(fd, "dist/.sources-seen", &seen, AT_SYMLINK_NOFOLLOW) == 0 &&
		       fstatat(fd, "dist/.sources-stamp", &compiled, AT_SYMLINK_NOFOLLOW) == 0 &&
		       fstatat(fd, "node_modules/.hyperplug-stamp", &installed, AT_SYMLINK_NOFOLLOW) == 0 &&
		       fstatat(fd, "dist/bundle/cli/main.js", &main, AT_SYMLINK_NOFOLLOW) == 0 &&
		       earlier(&main.st_ctim, &compiled.st_ctim) && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
		       earlier(&seen.st_mtim, &now);

	for (size_t each = 0; current && each < COUNT_OF(SOURCES); each++)
		current = all_earlier(fd, SOURCES[each], &seen.st_mtim, 0);
	if (fd >= 0)
		close(fd);
	return current;
}
