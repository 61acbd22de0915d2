/* Removes a directory with all that is in it, by descriptor: somebody else may change what is below meanwhile. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_DEPTH 128

static bool remove_in(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	bool done = true;

	if (directory == NULL) {
		bool gone = errno == ENOENT;

		if (fd >= 0)
			close(fd);
		return gone || unlinkat(parent, name, 0) == 0;
	}
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		done = depth < MAX_DEPTH && remove_in(fd, entry->d_name, depth + 1) && done;
	}
	closedir(directory);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 && done;
}

bool remove_tree(const char *path)
{
	return remove_in(AT_FDCWD, path, 0);
}
