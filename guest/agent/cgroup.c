#include "cgroup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "files.h"

#define ROOT "/sys/fs/cgroup"
#define OURS ROOT "/containers"

static bool path_of(char *path, size_t size, const char *container, const char *file)
{
	return agent.pid1 && *container != 0 && format_into(path, size, OURS "/%s%s%s", container, *file != 0 ? "/" : "", file);
}

void cgroup_make(const char *container)
{
	char path[PATH_MAX];

	if (!path_of(path, sizeof(path), container, ""))
		return;
	if (mkdir(OURS, 0755) == 0) {
		/* Each by itself: a kernel may lack one. */
		static const char *const controllers[] = { "+cpu", "+memory", "+pids" };

		for (size_t i = 0; i < COUNT_OF(controllers); i++) {
			file_poke(ROOT "/cgroup.subtree_control", controllers[i]);
			file_poke(OURS "/cgroup.subtree_control", controllers[i]);
		}
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		say("%s: %s", path, strerror(errno));
}

void cgroup_enter(const char *container)
{
	char path[PATH_MAX];

	if (path_of(path, sizeof(path), container, "cgroup.procs"))
		file_poke(path, "0");
}

void cgroup_remove(const char *container)
{
	char path[PATH_MAX];

	if (path_of(path, sizeof(path), container, ""))
		rmdir(path);
}

static bool number_in(const char *container, const char *file, const char *key, uint64_t *out)
{
	char path[PATH_MAX], text[4096], digits[32];
	const char *at = text;
	size_t n;

	if (!path_of(path, sizeof(path), container, file) || !file_peek(path, text, sizeof(text)))
		return false;
	if (key != NULL && (at = strstr(text, key)) == NULL)
		return false;
	at += key != NULL ? strlen(key) : 0;
	n = strspn(at, "0123456789");
	return format_into(digits, sizeof(digits), "%.*s", (int)n, at) && parse_u64(digits, UINT64_MAX, out);
}

bool cgroup_read(const char *container, struct cgroup_usage *usage)
{
	memset(usage, 0, sizeof(*usage));
	if (!number_in(container, "cpu.stat", "usage_usec ", &usage->cpu_us))
		return false;
	number_in(container, "memory.current", NULL, &usage->memory_bytes);
	number_in(container, "pids.current", NULL, &usage->processes);
	return true;
}
