/* /etc/passwd and /etc/group, read directly: a static program has no name service. */
#ifndef HP_USERS_H
#define HP_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	char name[64]; /* empty: a number that /etc/passwd does not list */
	char home[256];
};

/* By name or number. A number needs no entry; nor does root. */
bool user_find(const char *who, struct user *user);
bool group_find(const char *which, gid_t *gid);
/* Adds the groups that list `name` as a member. Returns the new count. */
size_t user_groups(const char *name, gid_t *list, size_t n, size_t max);

#endif
