#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"
#include "util.h"

#define LINE_MAX_BYTES 8192

/* A file's lines. Without stdio, which takes memory for each file and gives it back: that is slow where all is translated. */
struct lines {
	int fd; /* < 0: there are none */
	size_t start, length;
	char buffer[LINE_MAX_BYTES];
};

static void lines_open(struct lines *l, const char *path)
{
	l->fd = sys_open(path, O_RDONLY, 0);
	l->start = l->length = 0;
}

static void lines_close(struct lines *l)
{
	if (l->fd >= 0)
		close(l->fd);
}

/* NULL: there are no more. A line that is longer than the buffer is given in pieces. */
static char *lines_next(struct lines *l)
{
	for (;;) {
		char *line = l->buffer + l->start, *end = memchr(line, '\n', l->length);
		ssize_t n = 0;

		if (end != NULL) {
			*end = 0;
			l->length -= (size_t)(end + 1 - line);
			l->start += (size_t)(end + 1 - line);
			return line;
		}
		memmove(l->buffer, line, l->length);
		l->start = 0;
		if (l->fd >= 0 && l->length < sizeof(l->buffer) - 1)
			do
				n = read(l->fd, l->buffer + l->length, sizeof(l->buffer) - 1 - l->length);
			while (n < 0 && errno == EINTR);
		if (n > 0) {
			l->length += (size_t)n;
			continue;
		}
		if (l->length == 0)
			return NULL;
		l->buffer[l->length] = 0;
		l->start = l->length;
		l->length = 0;
		return l->buffer;
	}
}

/* Cuts at ':'. Fields that a line lacks are empty. */
static void split(char *line, char *fields[], size_t count)
{
	static char empty[] = "";

	for (size_t i = 0; i < count; i++) {
		fields[i] = line != NULL ? line : empty;
		line = line != NULL ? strchr(line, ':') : NULL;
		if (line != NULL)
			*line++ = 0;
	}
}

static bool number(const char *text, unsigned *out)
{
	uint64_t value;

	if (!parse_u64(text, UINT32_MAX - 1, &value)) /* -1 means "no change" to the kernel */
		return false;
	*out = (unsigned)value;
	return true;
}

bool user_find(const char *who, struct user *user)
{
	struct lines lines;
	char *line, *f[7];
	bool numeric, found = false;
	unsigned wanted = 0;

	memset(user, 0, sizeof(*user));
	numeric = number(who, &wanted);
	lines_open(&lines, "/etc/passwd");
	while (!found && (line = lines_next(&lines)) != NULL) {
		unsigned uid, gid;

		split(line, f, 7);
		if (!number(f[2], &uid) || !number(f[3], &gid) || (numeric ? uid != wanted : strcmp(f[0], who) != 0))
			continue;
		found = true;
		user->uid = uid;
		user->gid = gid;
		snprintf(user->name, sizeof(user->name), "%.63s", f[0]);
		snprintf(user->home, sizeof(user->home), "%.255s", f[5]);
	}
	lines_close(&lines);
	if (!found && !numeric && strcmp(who, "root") != 0)
		return false;
	if (!found)
		user->uid = wanted;
	if (user->home[0] == 0)
		strcpy(user->home, user->uid == 0 ? "/root" : "/");
	return true;
}

bool group_find(const char *which, gid_t *gid)
{
	struct lines lines;
	char *line, *f[4];
	bool found = false;
	unsigned value;

	if (number(which, &value)) {
		*gid = value;
		return true;
	}
	lines_open(&lines, "/etc/group");
	while (!found && (line = lines_next(&lines)) != NULL) {
		split(line, f, 4);
		found = strcmp(f[0], which) == 0 && number(f[2], &value);
	}
	lines_close(&lines);
	if (!found && strcmp(which, "root") == 0) {
		value = 0;
		found = true;
	}
	if (found)
		*gid = value;
	return found;
}

static bool lists_member(const char *members, const char *name)
{
	size_t length = strlen(name);

	while (*members != 0) {
		size_t n = strcspn(members, ",");

		if (n == length && memcmp(members, name, n) == 0)
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

size_t user_groups(const char *name, gid_t *list, size_t n, size_t max)
{
	struct lines lines;
	char *line, *f[4];

	if (*name == 0)
		return n;
	lines_open(&lines, "/etc/group");
	while (n < max && (line = lines_next(&lines)) != NULL) {
		unsigned gid;

		split(line, f, 4);
		if (number(f[2], &gid) && lists_member(f[3], name))
			list[n++] = gid;
	}
	lines_close(&lines);
	return n;
}
