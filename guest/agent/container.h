/*
 * Containers: a root of their own and the processes in it, with mount, pid, uts and ipc namespaces of their own. The first
 * process of the pid namespace is a child of ours that only reaps; commands enter by setns(). One of these is the main process,
 * whose end is told whoever listens.
 */
#ifndef HP_CONTAINER_H
#define HP_CONTAINER_H

#include <sys/types.h>

#include "exec.h"

struct process;
struct container_log;

struct container {
	struct container *next;
	char *id; /* empty: it has failed, and only its first process is still to be reaped */
	pid_t init;
	enum { CONTAINER_MAKING, CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } state;
	pid_t main_pid;
	int main_status; /* of waitpid */
	bool main_known; /* it has run before */
	struct container_log *log;

	struct request making; /* NEWCONTAINER */
	struct source report;
	struct timer late;
	struct request removal;
	bool removing;
};

extern struct container *containers;

/* One that is made. */
struct container *container_get(const char *id, struct failure *f);
bool container_find(const char *id, pid_t *init, struct failure *f);
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
void container_main_started(const char *id, pid_t pid);
/* `ran`: its program was started. Where it was not, the container is as before. */
void container_main_ended(const char *id, pid_t pid, int status, bool ran);
/* With all that is in them. */
void containers_kill(void);
/* Only for the fuzzer: as if none had been made. */
void containers_forget(void);

/* What main processes write, kept for who asks (conlog.c). */
bool container_log_new(struct container *c);
/* It reads what comes by `fd`, which becomes its own. */
bool container_log_watch(struct container *c, int fd);
void container_log_free(struct container *c);
/* True when more can be read without an event. */
bool container_logs_pump(void);

#endif
