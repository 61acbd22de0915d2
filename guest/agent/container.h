/* Containers: processes in mount, pid, uts and ipc namespaces of their own. */
#ifndef HP_CONTAINER_H
#define HP_CONTAINER_H

#include <sys/types.h>

#include "exec.h"

/* Fills in whose namespaces a process of container `id` enters. */
bool container_plan(const char *id, struct exec_plan *plan, struct failure *f);
/* What is put before a path of that container's. */
bool container_root(const char *id, char *root, size_t size, struct failure *f);
/* A Container object. Its process's start answers `r` (NULL: nobody asked). */
bool container_create(const struct json *doc, uint32_t node, const struct request *r, struct failure *f);
/* fork(), the child being in that pid namespace (-1: ours). */
pid_t container_fork(int pid_ns);
/* In the child: the other namespaces. False with errno. */
bool container_enter(int init_pid);
/* A child that is no process of the host's has ended. */
void container_init_ended(pid_t pid);

#endif
