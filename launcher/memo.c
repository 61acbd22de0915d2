/* What an earlier command like this one left (src/host/head-start-memo.ts): its launch, for the program and as a recipe. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_MEMO (1 << 20)

extern char **environ;

/* What of the environment a launch follows from, as src/head-start.ts has it. */
static bool tells(const char *entry)
{
	return strncmp(entry, "HYPERPLUG_", 10) == 0 || strncmp(entry, "XDG_", 4) == 0 || strncmp(entry, "HOME=", 5) == 0 ||
	       strncmp(entry, "PATH=", 5) == 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All that the command says but what runs in the pod, and by whom, where, and in which environment it is said. */
static bool subject(struct bytes *b, char *const *args)
{
	char cwd[4096];
	const char *told[256];
	size_t count = 0;

	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return false;
	for (; *args != NULL && strcmp(*args, "--") != 0; args++)
		bytes_put(b, *args, strlen(*args) + 1);
	bytes_put(b, "", 1);
	bytes_format(b, "%u", (unsigned)getuid());
	bytes_put(b, "", 1);
	bytes_put(b, cwd, strlen(cwd) + 1);
	for (char **entry = environ; *entry != NULL; entry++) {
		if (!tells(*entry))
			continue;
		if (count == COUNT_OF(told))
			return false;
		told[count++] = *entry;
	}
	qsort(told, count, sizeof(*told), by_text);
	for (size_t each = 0; each < count; each++)
		bytes_put(b, told[each], strlen(told[each]) + 1);
	return true;
}

/* FNV-1a: it names the file; that it is the right one is told by what it holds. */
static uint64_t digest(const struct bytes *b)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t each = 0; each < b->len; each++)
		hash = (hash ^ (uint8_t)b->data[each]) * UINT64_C(0x100000001b3);
	return hash;
}

static bool read_all(int fd, char *content, size_t size)
{
	for (size_t have = 0; have < size;) {
		ssize_t n = pread(fd, content + have, size - have, (off_t)have);

		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return true;
}

/* A line with the lengths of the parts, then these: subject, driver, launch, recipe. */
static bool parse(struct memo *memo, size_t size, const struct bytes *wanted)
{
	size_t length[4], sum = 0;
	int line = 0;

	if (sscanf(memo->content, "hyperplug-ahead-2 %zu %zu %zu %zu\n%n", &length[0], &length[1], &length[2], &length[3],
		    &line) != 4 ||
	    line == 0)
		return false;
	const char *newline = strchr(memo->content, '\n');
	if (newline == NULL)
		return false;
	size_t start = (size_t)(newline - memo->content) + 1;
	for (size_t each = 0; each < COUNT_OF(length); each++) {
		if (length[each] > size)
			return false;
		sum += length[each];
	}
	if (start + sum != size || length[0] != wanted->len || memcmp(memo->content + start, wanted->data, wanted->len) != 0)
		return false;
	memo->recipe = memo->content + start + length[0] + length[1] + length[2];
	memo->recipe_len = length[3];
	return memo->recipe_len > 0 && memo->recipe[memo->recipe_len - 1] == '\0';
}

bool memo_find(struct memo *memo, const char *directory, char *const *args)
{
	struct bytes wanted = { 0 }, path = { 0 };
	struct stat file;

	if (!subject(&wanted, args))
		return false;
	bytes_text(&path, directory);
	bytes_format(&path, "/ahead-%016llx", (unsigned long long)digest(&wanted));
	memo->fd = open(path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (memo->fd < 0)
		return false;
	if (fstat(memo->fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_uid == geteuid() && (file.st_mode & 022) == 0 &&
	    file.st_size < MAX_MEMO) {
		size_t size = (size_t)file.st_size;

		memo->content = calloc(1, size + 1);
		if (memo->content != NULL && read_all(memo->fd, memo->content, size) && parse(memo, size, &wanted))
			return true;
	}
	close(memo->fd);
	return false;
}
