#include "users.h"

#include <stdio.h>
#include <string.h>

#include "util.h"

#define LINE_MAX_BYTES 8192

/* Cuts at ':'. Fields that a line lacks are empty. */
static void split(char *line, char *fields[], size_t count)
{
	static char empty[] = "";

	line[strcspn(line, "\n")] = 0;
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
	char line[LINE_MAX_BYTES], *f[7];
	bool numeric, found = false;
	unsigned wanted = 0;
	FILE *file;

	memset(user, 0, sizeof(*user));
	numeric = number(who, &wanted);
	file = fopen("/etc/passwd", "re");
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
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
	if (file != NULL)
		fclose(file);
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
	char line[LINE_MAX_BYTES], *f[4];
	bool found = false;
	unsigned value;
	FILE *file;

	if (number(which, &value)) {
		*gid = value;
		return true;
	}
	file = fopen("/etc/group", "re");
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
		split(line, f, 4);
		found = strcmp(f[0], which) == 0 && number(f[2], &value);
	}
	if (file != NULL)
		fclose(file);
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
	char line[LINE_MAX_BYTES], *f[4];
	FILE *file;

	if (*name == 0)
		return n;
	file = fopen("/etc/group", "re");
	while (file != NULL && n < max && fgets(line, sizeof(line), file) != NULL) {
		unsigned gid;

		split(line, f, 4);
		if (number(f[2], &gid) && lists_member(f[3], name))
			list[n++] = gid;
	}
	if (file != NULL)
		fclose(file);
	return n;
}
