/* How a process shall be started, and the child's side of starting it. */
#ifndef HP_EXEC_H
#define HP_EXEC_H

#include <stdnoreturn.h>
#include <sys/types.h>

#include "agent.h"

struct exec_limit {
	int resource;
	uint64_t soft, hard;
};

struct exec_plan {
	const char *container, *id, *workdir, *user, *group; /* user, group: NULL where not given */
	char **argv, **groups;
	char **env; /* with room for EXEC_DEFAULTS more */
	size_t env_count;
	struct exec_limit limits[16];
	size_t limit_count;
	uint64_t stdio, stderr_sequence;
	uint16_t rows, columns;
	bool terminal;
	bool main; /* the container's main process */
	bool log; /* its output is kept for who asks, and it has no input */
	bool base; /* the original tells a failure on stderr, by status 127 */
	pid_t container_pid; /* whose namespaces are entered; 0: our own */
};

/* PATH, HOME, TERM */
#define EXEC_DEFAULTS 3

/* Index: stdin, stdout, stderr. A terminal has ours[0] and ours[1] (the master, twice) and theirs[0]. */
struct exec_fds {
	int ours[3], theirs[3];
	int report[2];
};

/* Written by the child when it fails before or in execve. */
struct exec_failure {
	int err;
	char what[160];
};

bool exec_plan_read(struct exec_plan *plan, const struct json *doc, uint32_t node, struct failure *f);
void exec_plan_free(struct exec_plan *plan);
bool exec_start(const struct exec_plan *plan, const struct request *r, struct failure *f);
noreturn void exec_child(const struct exec_plan *plan, const struct exec_fds *fds);
/* Adds `NAME=VALUE`, which is not copied, unless NAME is there; returns the value that counts. */
const char *exec_default(char **env, const char *text);
/* `RLIMIT_NOFILE` or `nofile`. */
bool exec_limit_by_name(const char *name, int *resource);

#endif
