#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "conroot.h"
#include "process.h"
#include "sys.h"

#define CONTAINERS_MAX 64
/* Mounting, or reading and writing one file, within the container. */
#define CHILD_MS 10000

struct container {
	struct container *next;
	char *id;
	pid_t init;
	struct request removal;
	bool removing;
};

static struct container *containers;

static struct container *find(const char *id)
{
	struct container *c = containers;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	return c;
}

static struct container *need(const char *id, struct failure *f)
{
	struct container *c = find(id);

	if (c == NULL)
		fail(f, HP_E_NOT_FOUND, 0, "container", "no container %.64s", id);
	return c;
}

bool container_plan(const char *id, struct exec_plan *plan, struct failure *f)
{
	struct container *c = need(id, f);

	if (c != NULL)
		plan->container_pid = c->init;
	return c != NULL;
}

static int open_namespace(pid_t pid, const char *which)
{
	char path[64];

	if (pid == 0 ? !format_into(path, sizeof(path), "/proc/self/ns/%s", which) :
		       !format_into(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, which))
		return -1;
	return sys_open(path, O_RDONLY, 0);
}

pid_t container_fork(pid_t init)
{
	int theirs, ours;
	pid_t pid = -1;

	if (init == 0)
		return sys_fork();
	theirs = open_namespace(init, "pid");
	ours = open_namespace(0, "pid");
	/* It only decides where children are born; it is undone before anything else can be. */
	if (theirs >= 0 && ours >= 0 && sys_setns(theirs, CLONE_NEWPID) == 0) {
		pid = sys_fork();
		if (pid != 0 && sys_setns(ours, CLONE_NEWPID) < 0)
			say("back to our own pid namespace: errno %d", errno);
	}
	if (theirs >= 0)
		close(theirs);
	if (ours >= 0)
		close(ours);
	return pid;
}

bool container_enter(pid_t init)
{
	static const char *const names[] = { "ipc", "uts", "mnt" };
	int fds[COUNT_OF(names)];

	/* All are opened first: after the mount namespace /proc is another. */
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if ((fds[i] = open_namespace(init, names[i])) < 0)
			return false;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (sys_setns(fds[i], 0) < 0)
			return false;
		close(fds[i]);
	}
	return chdir("/") == 0;
}

/* Reads until end of file, but not for ever. */
static bool read_child(int fd, struct queue *q, struct failure *f)
{
	uint64_t until = now_ms() + CHILD_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = now_ms();
		uint8_t *room;
		ssize_t n;

		if (now >= until || poll(&p, 1, (int)(until - now)) == 0)
			return fail(f, HP_E_TIMEOUT, 0, NULL, "the container does not answer");
		room = queue_reserve(q, 65536);
		if (room == NULL)
			return fail(f, HP_E_LIMIT, ENOMEM, NULL, "container");
		n = read(fd, room, 65536);
		if (n == 0)
			return true;
		if (n > 0)
			queue_commit(q, (size_t)n);
		else if (errno != EINTR)
			return fail(f, HP_E_KERNEL, errno, NULL, "container");
	}
}

static void write_child(int fd, const void *data, size_t length)
{
	const uint8_t *p = data;

	while (length > 0) {
		ssize_t n = write(fd, p, length);

		if (n <= 0)
			_exit(1);
		p += n;
		length -= (size_t)n;
	}
}

/* What a child found, ahead of its output. Its `code` points to a literal, at the same place in parent and child. */
struct result {
	bool ok;
	struct failure failure;
};

/* Takes the result off the queue's head. */
static bool take_result(struct queue *q, struct failure *f)
{
	struct result result;

	if (q->len < sizeof(result))
		return fail(f, HP_E_KERNEL, 0, NULL, "the container's helper ended early");
	memcpy(&result, queue_head(q), sizeof(result));
	queue_consume(q, sizeof(result));
	if (!result.ok)
		*f = result.failure;
	return result.ok;
}

bool container_do(const char *id, container_work *work, const struct call *call, struct queue *out, struct failure *f)
{
	struct container *c = need(id, f);
	struct result result = { 0 };
	int ends[2];
	pid_t pid;
	bool ok;

	if (c == NULL)
		return false;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
	pid = sys_fork();
	if (pid == 0) {
		result.ok = container_enter(c->init) ? work(call, out, &result.failure) :
						       fail(&result.failure, HP_E_KERNEL, errno, "container", "entering");
		write_child(ends[1], &result, sizeof(result));
		write_child(ends[1], queue_head(out), result.ok ? out->len : 0);
		_exit(0);
	}
	close(ends[1]);
	ok = pid > 0 ? read_child(ends[0], out, f) && take_result(out, f) : fail(f, HP_E_KERNEL, errno, NULL, "fork");
	close(ends[0]);
	return ok;
}

/* ---- making one ---- */

static noreturn void run_init(struct conroot *root, int report)
{
	struct result result = { .ok = true };
	sigset_t all;
	int signal;

	/* Ends with the agent, should that end without a word. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	result.ok = conroot_enter(root, &report, &result.failure);
	write_child(report, &result, sizeof(result));
	close(report);
	if (!result.ok)
		_exit(1);
	/* What is orphaned in the container becomes ours to reap. It ends by SIGKILL. */
	for (;;)
		if (sigwait(&all, &signal) == 0 && signal == SIGCHLD)
			conroot_reap();
}

static struct container *container_new(const char *id, struct failure *f)
{
	struct container *c;
	size_t count = 0;

	for (c = containers; c != NULL; c = c->next)
		count++;
	c = count < CONTAINERS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (c != NULL && (c->id = strdup(id)) == NULL) {
		free(c);
		c = NULL;
	}
	if (c == NULL) {
		fail(f, HP_E_LIMIT, 0, NULL, "at most %d containers, and memory for them", CONTAINERS_MAX);
		return NULL;
	}
	c->next = containers;
	containers = c;
	return c;
}

static void container_free(struct container *c)
{
	struct container **at = &containers;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c->id);
	free(c);
}

static bool start_init(struct container *c, struct conroot *root, struct failure *f)
{
	struct queue answer = { 0 };
	int ends[2];
	bool ok;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
	c->init = sys_fork_into(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC);
	if (c->init == 0)
		run_init(root, ends[1]);
	close(ends[1]);
	if (c->init < 0)
		ok = fail(f, HP_E_KERNEL, errno, NULL, "new namespaces");
	else
		ok = read_child(ends[0], &answer, f) && take_result(&answer, f);
	close(ends[0]);
	queue_free(&answer);
	if (!ok && c->init > 0)
		sys_kill(c->init, SIGKILL);
	return ok;
}

static bool valid_id(const char *id)
{
	return *id != 0 && *id != '.' && strcmp(id, OWN_CONTAINER) != 0 && strlen(id) <= 128 &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(id);
}

static bool start_process(struct container *c, const struct json *doc, uint32_t node, const struct request *r,
			  struct failure *f)
{
	struct exec_plan plan = { .container = c->id, .container_pid = c->init, .base = !r->extended };
	bool ok = exec_plan_read(&plan, doc, node, f) && exec_start(&plan, r, f);

	exec_plan_free(&plan);
	return ok;
}

bool container_create(const struct json *doc, uint32_t node, const struct request *r, struct failure *f)
{
	struct request nobody = { .generation = session.generation - 1, .extended = session.extended };
	struct hp_value v[HP_Container_COUNT];
	struct conroot root = { .doc = doc };
	struct container *c;
	const char *id;

	if (!json_decode(doc, node, &hp_schema_Container, v, f))
		return false;
	id = v[HP_Container_id].string;
	if (!valid_id(id))
		return fail(f, HP_E_INVALID, 0, "id", "expected letters, digits, '_', '.' or '-', got \"%.64s\"", id);
	if (find(id) != NULL)
		return fail(f, HP_E_INVALID, 0, "id", "a container %.64s exists already", id);
	if (!conroot_read(&root, v, f) || (c = container_new(id, f)) == NULL)
		return false;
	if (!start_init(c, &root, f)) {
		container_free(c);
		return false;
	}
	if (v[HP_Container_process].present) {
		if (start_process(c, doc, v[HP_Container_process].node, r != NULL ? r : &nobody, f))
			return true;
		sys_kill(c->init, SIGKILL); /* freed when it is reaped; its name is free at once */
		c->id[0] = 0;
		return false;
	}
	if (r != NULL)
		reply_ack(r, NULL, 0);
	return true;
}

/* ---- its end ---- */

void container_init_ended(pid_t pid)
{
	struct container *c = containers;

	while (c != NULL && c->init != pid)
		c = c->next;
	if (c == NULL)
		return; /* a helper */
	if (c->removing)
		reply_ack(&c->removal, NULL, 0);
	container_free(c);
}

void containers_kill(void)
{
	for (struct container *c = containers; c != NULL; c = c->next)
		sys_kill(c->init, SIGKILL);
}

bool handle_newcontainer(struct call *call, struct failure *f)
{
	return container_create(&call->doc, 0, &call->request, f);
}

bool handle_killcontainer(struct call *call, struct failure *f)
{
	uint64_t number = call->v[HP_KillContainer_signal].number;
	struct container *c = need(call->v[HP_KillContainer_container].string, f);

	if (c == NULL)
		return false;
	if (number < 1 || number > 64)
		return fail(f, HP_E_INVALID, 0, "signal", "expected a signal from 1 to 64");
	for (struct process *p = processes; p != NULL; p = p->next)
		if (!p->reaped && strcmp(p->container, c->id) == 0)
			process_signal(p, (int)number);
	if (number == SIGKILL)
		sys_kill(c->init, SIGKILL);
	reply_ack(&call->request, NULL, 0);
	return true;
}

/* The kernel ends every process of a pid namespace with its first one, and the mounts go with the last of them. */
bool handle_removecontainer(struct call *call, struct failure *f)
{
	struct container *c = need(call->v[HP_RemoveContainer_container].string, f);

	if (c == NULL)
		return false;
	if (c->removing)
		return fail(f, HP_E_INVALID, 0, "container", "%.64s is being removed", c->id);
	c->removing = true;
	c->removal = call->request;
	request_defer(&call->request);
	sys_kill(c->init, SIGKILL);
	return true;
}
