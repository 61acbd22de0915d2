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
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "conroot.h"
#include "job.h"
#include "process.h"
#include "sys.h"

/* Waiting for its disks, and mounting. */
#define MAKING_MS 30000

struct container *containers;

static struct container *find(const char *id)
{
	struct container *c = containers;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	return c;
}

struct container *container_get(const char *id, struct failure *f)
{
	struct container *c = *id != 0 ? find(id) : NULL;

	if (c == NULL)
		fail(f, HP_E_NOT_FOUND, 0, "container", "no container %.64s", id);
	else if (c->state == CONTAINER_MAKING || c->removing) {
		fail(f, HP_E_INVALID, 0, "container", "%.64s is being %s", id, c->removing ? "removed" : "made");
		c = NULL;
	}
	return c;
}

bool container_find(const char *id, pid_t *init, struct failure *f)
{
	struct container *c = container_get(id, f);

	if (c != NULL)
		*init = c->init;
	return c != NULL;
}

bool container_plan(const char *id, struct exec_plan *plan, struct failure *f)
{
	return container_find(id, &plan->container_pid, f);
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

/* ---- making one ---- */

static noreturn void run_init(const char *id, struct conroot *root, int report)
{
	struct job_result result = { .ok = true };
	sigset_t all;
	int signal;

	/* Ends with the agent, should that end without a word. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "container");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	cgroup_enter(id);
	result.ok = conroot_enter(root, &report, &result.failure);
	job_write(report, &result, sizeof(result));
	close(report);
	if (!result.ok)
		_exit(1);
	/* What is orphaned in the container becomes ours to reap. It ends by SIGKILL. */
	for (;;)
		if (sigwait(&all, &signal) == 0 && signal == SIGCHLD)
			conroot_reap();
}

static void report_ready(struct source *s, uint32_t events);
static void making_late(struct timer *t);

static struct container *container_new(const char *id, struct failure *f)
{
	struct container *c;
	size_t count = 0;

	for (c = containers; c != NULL; c = c->next)
		count++;
	c = count < HP_CONTAINERS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (c != NULL && ((c->id = strdup(id)) == NULL || !container_log_new(c))) {
		free(c->id);
		free(c);
		c = NULL;
	}
	if (c == NULL) {
		fail(f, HP_E_LIMIT, 0, NULL, "at most %u containers, and memory for them", HP_CONTAINERS_MAX);
		return NULL;
	}
	c->report.fd = -1;
	c->report.ready = report_ready;
	c->late.fire = making_late;
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
	timer_clear(&c->late);
	loop_close(&c->report);
	container_log_free(c);
	free(c->id);
	free(c);
}

/* What is left of it is reaped; its name is free at once. */
static void container_give_up(struct container *c)
{
	timer_clear(&c->late);
	loop_close(&c->report);
	cgroup_remove(c->id);
	c->id[0] = 0;
	if (c->init > 0)
		sys_kill(c->init, SIGKILL);
	else
		container_free(c);
}

/* The first process makes the root, and reports by the descriptor that is given back; -1: there is none. */
static int start_init(struct container *c, struct conroot *root, struct failure *f)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
		return -1;
	}
	cgroup_make(c->id);
	c->init = sys_fork_into(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC);
	if (c->init == 0)
		run_init(c->id, root, ends[1]);
	close(ends[1]);
	if (c->init > 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
		return ends[0];
	fail(f, HP_E_KERNEL, errno, NULL, "new namespaces");
	close(ends[0]);
	return -1;
}

/* -1: there is none yet. Else whether it is made. */
static int read_result(int fd, struct failure *f)
{
	struct job_result result;
	ssize_t n;

	do
		n = read(fd, &result, sizeof(result));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -1;
	if (n != (ssize_t)sizeof(result))
		return fail(f, HP_E_KERNEL, 0, NULL, "the container's first process ended early");
	if (!result.ok)
		*f = result.failure;
	return result.ok;
}

static void report_ready(struct source *s, uint32_t events)
{
	struct container *c = CONTAINER_OF(s, struct container, report);
	struct failure f;
	int made = read_result(s->fd, &f);

	(void)events;
	if (made < 0)
		return;
	timer_clear(&c->late);
	loop_close(&c->report);
	if (made) {
		c->state = CONTAINER_CREATED;
		reply_ack(&c->making, NULL, 0);
	} else {
		reply_error(&c->making, &f);
		container_give_up(c);
	}
}

static void making_late(struct timer *t)
{
	struct container *c = CONTAINER_OF(t, struct container, late);
	struct failure f;

	fail(&f, HP_E_TIMEOUT, 0, NULL, "the root of container %.64s was not made within %d s", c->id, MAKING_MS / 1000);
	reply_error(&c->making, &f);
	container_give_up(c);
}

/* For original clients, whose next command may follow at once, and for processes that are asked for together with it. */
static bool wait_until_made(struct container *c, int fd, struct failure *f)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int made;

	if (poll(&p, 1, MAKING_MS) == 0)
		made = fail(f, HP_E_TIMEOUT, 0, NULL, "the container does not answer");
	else
		made = read_result(fd, f);
	close(fd);
	if (made == 1)
		c->state = CONTAINER_CREATED;
	return made == 1;
}

static bool valid_id(const char *id)
{
	return *id != 0 && *id != '.' && strcmp(id, OWN_CONTAINER) != 0 && strlen(id) <= 128 &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(id);
}

static bool start_process(struct container *c, const struct json *doc, uint32_t node, const struct request *r,
			  struct failure *f)
{
	struct exec_plan plan = { .container = c->id, .container_pid = c->init, .base = !r->extended, .main = true };
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
	int report;

	if (!json_decode(doc, node, &hp_schema_Container, v, f))
		return false;
	id = v[HP_Container_id].string;
	if (!valid_id(id))
		return fail(f, HP_E_INVALID, 0, "id", "expected letters, digits, '_', '.' or '-', got \"%.64s\"", id);
	if (find(id) != NULL)
		return fail(f, HP_E_INVALID, 0, "id", "a container %.64s exists already", id);
	if (!conroot_read(&root, v, f) || (c = container_new(id, f)) == NULL)
		return false;
	report = start_init(c, &root, f);
	if (report < 0) {
		container_give_up(c);
		return false;
	}
	if (r != NULL && r->extended && !v[HP_Container_process].present) {
		c->making = *r;
		timer_set(&c->late, MAKING_MS);
		if (loop_watch(&c->report, report))
			return true;
		close(report);
		container_give_up(c);
		return fail(f, HP_E_KERNEL, errno, NULL, "events");
	}
	if (!wait_until_made(c, report, f)) {
		container_give_up(c);
		return false;
	}
	if (v[HP_Container_process].present) {
		if (start_process(c, doc, v[HP_Container_process].node, r != NULL ? r : &nobody, f))
			return true;
		container_give_up(c);
		return false;
	}
	if (r != NULL)
		reply_ack(r, NULL, 0);
	return true;
}

/* ---- its main process ---- */

void container_main_started(const char *id, pid_t pid)
{
	struct container *c = find(id);

	if (c == NULL)
		return;
	c->state = CONTAINER_RUNNING;
	c->main_pid = pid;
}

void container_main_ended(const char *id, pid_t pid, int status, bool ran)
{
	struct container *c = find(id);

	if (c == NULL || c->state != CONTAINER_RUNNING || c->main_pid != pid)
		return;
	if (ran) {
		c->main_known = true;
		c->main_status = status;
	}
	c->state = c->main_known ? CONTAINER_EXITED : CONTAINER_CREATED;
	c->main_pid = 0;
}

/* ---- its end ---- */

void container_init_ended(pid_t pid)
{
	struct container *c = containers;

	while (c != NULL && c->init != pid)
		c = c->next;
	if (c == NULL)
		return; /* a helper */
	if (c->state == CONTAINER_MAKING && c->report.fd >= 0) {
		struct failure f;

		fail(&f, HP_E_KERNEL, 0, NULL, "the container was ended while it was made");
		reply_error(&c->making, &f);
	}
	cgroup_remove(c->id);
	if (c->removing)
		reply_ack(&c->removal, NULL, 0);
	container_free(c);
}

void containers_kill(void)
{
	for (struct container *c = containers; c != NULL; c = c->next)
		sys_kill(c->init, SIGKILL);
}

void containers_forget(void)
{
	while (containers != NULL)
		container_free(containers);
}

bool handle_newcontainer(struct call *call, struct failure *f)
{
	return container_create(&call->doc, 0, &call->request, f);
}

/* An original's are all processes of the container; ours is the main one, the others have SIGNALPROCESS. */
bool handle_killcontainer(struct call *call, struct failure *f)
{
	uint64_t number = call->v[HP_KillContainer_signal].number;
	struct container *c = container_get(call->v[HP_KillContainer_container].string, f);
	bool all = !call->request.extended, any = all;

	if (c == NULL)
		return false;
	if (number < 1 || number > 64)
		return fail(f, HP_E_INVALID, 0, "signal", "expected a signal from 1 to 64");
	for (struct process *p = processes; p != NULL; p = p->next)
		if (!p->reaped && strcmp(p->container, c->id) == 0 && (all || p->pid == c->main_pid)) {
			process_signal(p, (int)number);
			any = true;
		}
	if (!any)
		return fail(f, HP_E_NOT_FOUND, 0, "container", "the main process of %.64s does not run", c->id);
	if (all && number == SIGKILL)
		sys_kill(c->init, SIGKILL);
	reply_ack(&call->request, NULL, 0);
	return true;
}

/* The kernel ends every process of a pid namespace with its first one, and the mounts go with the last of them. */
bool handle_removecontainer(struct call *call, struct failure *f)
{
	const char *id = call->v[HP_RemoveContainer_container].string;
	struct container *c = *id != 0 ? find(id) : NULL;

	if (c == NULL)
		return fail(f, HP_E_NOT_FOUND, 0, "container", "no container %.64s", id);
	if (c->removing)
		return fail(f, HP_E_INVALID, 0, "container", "%.64s is being removed", c->id);
	c->removing = true;
	c->removal = call->request;
	request_defer(&call->request);
	sys_kill(c->init, SIGKILL);
	return true;
}

bool handle_listcontainers(struct call *call, struct failure *f)
{
	static const char *const states[] = { "making", "created", "running", "exited" };
	const char *comma = "";
	struct writer w = { 0 };

	(void)f;
	write_text(&w, "{\"containers\":[");
	for (struct container *c = containers; c != NULL; c = c->next) {
		if (c->id[0] == 0 || c->state == CONTAINER_MAKING || c->removing)
			continue;
		write_text(&w, "%s{\"id\":", comma);
		write_json_string(&w, c->id);
		write_text(&w, ",\"state\":\"%s\",\"pid\":%d", states[c->state], (int)c->main_pid);
		if (c->state == CONTAINER_EXITED && WIFSIGNALED(c->main_status))
			write_text(&w, ",\"status\":%d,\"signal\":%d", 128 + WTERMSIG(c->main_status),
				   WTERMSIG(c->main_status));
		else if (c->state == CONTAINER_EXITED)
			write_text(&w, ",\"status\":%d", WEXITSTATUS(c->main_status));
		write_text(&w, "}");
		comma = ",";
	}
	write_text(&w, "]}");
	reply_json(&call->request, &w);
	return true;
}
