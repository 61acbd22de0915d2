/*
 * Containers: a root directory and the processes in it, with mount, pid, uts and ipc namespaces of their own. The first
 * process of the pid namespace is a child of ours that only reaps; commands enter by setns().
 */
#ifndef HP_CONTAINER_H
#define HP_CONTAINER_H

#include <sys/types.h>

#include "exec.h"

/* Fills in whose namespaces a process of container `id` enters. */
bool container_plan(const char *id, struct exec_plan *plan, struct failure *f);
/* A Container object. It answers `r` (NULL: nobody asked) when its process runs. */
bool container_create(const struct json *doc, uint32_t node, const struct request *r, struct failure *f);
/* fork(), the child being in the pid namespace of `init` (0: ours). */
pid_t container_fork(pid_t init);
/* In the child: the other namespaces. False with errno. */
bool container_enter(pid_t init);
/* A child that is no process of the host's has ended. */
void container_init_ended(pid_t pid);
/* With all that is in them. */
void containers_kill(void);

/* Does `work` in the container, by a child, and gives its output and failure. */
typedef bool container_work(const struct call *call, struct queue *out, struct failure *f);
bool container_do(const char *id, container_work *work, const struct call *call, struct queue *out, struct failure *f);

#endif
