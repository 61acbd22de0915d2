/* EXECCMD and what belongs to it: starting processes, the table of them, their end. */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "container.h"
#include "process.h"
#include "sys.h"

/* Outputs that nobody wants any more, but that something in the guest still writes to. */
#define OUTPUTS_MAX (4 * HP_PROCESSES_MAX)

struct process *processes;
static unsigned processes_total;

struct process *process_find(const char *container, const char *id)
{
	struct process *found = NULL;

	for (struct process *p = processes; p != NULL; p = p->next)
		if (strcmp(p->id, id) == 0 && strcmp(p->container, container) == 0 && !p->reaped) {
			if (!p->detached)
				return p;
			if (found == NULL)
				found = p;
		}
	return found;
}

struct process *process_by_sequence(uint64_t sequence)
{
	for (struct process *p = processes; p != NULL; p = p->next)
		if (!p->detached && p->stdio == sequence)
			return p;
	return NULL;
}

static bool sequence_in_use(uint64_t sequence)
{
	for (struct process *p = processes; p != NULL; p = p->next)
		if (!p->detached && (p->stdio == sequence || (p->stderr_sequence == sequence && p->stderr_sequence != 0)))
			return true;
	return false;
}

unsigned process_count(void)
{
	return processes_total;
}

static void process_free(struct process *p)
{
	struct process **at = &processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	processes_total--;
	process_input_close(p);
	loop_close(&p->exec_report);
	for (int i = 0; i < 2; i++)
		if (p->out[i] != NULL)
			output_orphan(p->out[i]);
	free(p->container);
	free(p->id);
	free(p);
}

static void send_event(const struct process *p)
{
	struct writer w = { 0 };
	bool killed = WIFSIGNALED(p->wait_status);
	int status = killed ? 128 + WTERMSIG(p->wait_status) : WEXITSTATUS(p->wait_status);

	write_text(&w, "{\"container\":");
	write_json_string(&w, p->container);
	write_text(&w, ",\"process\":");
	write_json_string(&w, p->id);
	write_text(&w, ",\"event\":\"finished\",\"status\":%d", status);
	if (session.extended && killed)
		write_text(&w, ",\"signal\":%d", WTERMSIG(p->wait_status));
	write_text(&w, "}");
	if (w.failed)
		say("out of memory: the end of process %s is not told", p->id);
	else
		send_control(HP_PROCESSASYNCEVENT, queue_head(&w.q), w.q.len);
	queue_free(&w.q);
}

void process_settle(struct process *p)
{
	if (!p->reaped || p->answer_due || p->out[0] != NULL || p->out[1] != NULL)
		return;
	/* In the base protocol the event comes after the streams' ends; in the extension it has been sent. */
	if (!p->detached && !session.extended)
		send_event(p);
	process_free(p);
}

void process_output_ended(struct process *p, struct output *o)
{
	for (int i = 0; i < 2; i++)
		if (p->out[i] == o)
			p->out[i] = NULL;
	process_settle(p);
}

static void detach(struct process *p)
{
	p->detached = true;
	p->answer_due = false;
	process_input_close(p);
	for (int i = 0; i < 2; i++)
		if (p->out[i] != NULL) {
			output_orphan(p->out[i]);
			p->out[i] = NULL;
		}
}

void processes_detach(void)
{
	struct process *next;

	for (struct process *p = processes; p != NULL; p = next) {
		next = p->next;
		detach(p);
		process_settle(p);
	}
}

void processes_forget(void)
{
	while (processes != NULL)
		process_free(processes);
}

void process_signal(struct process *p, int signal)
{
	/* Its group is what a terminal's Ctrl-C would reach; a process that left it is reached alone. */
	if (sys_kill(-p->pid, signal) < 0)
		sys_kill(p->pid, signal);
}

/* ---- the report of the child, that ends when execve succeeds ---- */

static void start_failed(struct process *p, const struct exec_failure *why)
{
	struct failure f;
	char words[sizeof(why->what) + 1];

	memcpy(words, why->what, sizeof(why->what));
	words[sizeof(why->what)] = 0;
	fail(&f, HP_E_EXEC, why->err, NULL, "%s", words);
	reply_error(&p->request, &f);
	detach(p); /* for the host it has never been: no streams, no event */
}

/* Without blocking: false while the child is still before its execve. */
static bool read_report(struct process *p)
{
	struct exec_failure why;
	ssize_t n;

	if (p->exec_report.fd < 0)
		return true;
	do
		n = read(p->exec_report.fd, &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	loop_close(&p->exec_report);
	if (!p->answer_due)
		return true; /* detached, or a client of the base protocol, who was answered at once */
	p->answer_due = false;
	if (n == (ssize_t)sizeof(why)) {
		start_failed(p, &why);
	} else {
		struct writer w = { 0 };

		write_text(&w, "{\"pid\":%d}", (int)p->pid);
		reply_json(&p->request, &w);
	}
	return true;
}

static void report_ready(struct source *s, uint32_t events)
{
	struct process *p = CONTAINER_OF(s, struct process, exec_report);

	(void)events;
	if (read_report(p))
		process_settle(p);
}

/* ---- the end ---- */

static void process_ended(struct process *p, int status)
{
	p->reaped = true;
	p->wait_status = status;
	/* All that could hold the report's other end is gone, or the report is there: it decides what is told. */
	if (!read_report(p)) {
		loop_close(&p->exec_report);
		if (p->answer_due) {
			struct exec_failure why = { .err = 0, .what = "the program ended before it was started" };

			p->answer_due = false;
			start_failed(p, &why);
		}
	}
	process_input_close(p);
	if (!p->detached && session.extended)
		send_event(p);
	for (int i = 0; i < 2; i++)
		if (p->out[i] != NULL)
			output_process_ended(p->out[i]);
	process_settle(p);
}

void processes_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct process *p = processes;

		while (p != NULL && (p->pid != pid || p->reaped))
			p = p->next;
		if (p != NULL)
			process_ended(p, status);
		else
			container_init_ended(pid);
	}
}

/* ---- EXECCMD ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool make_pipe(int ends[2], int ours)
{
	return pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[ours], F_SETFL, O_NONBLOCK) == 0;
}

static bool make_terminal(struct exec_fds *fds, const struct exec_plan *plan, struct failure *f)
{
	struct winsize size = { .ws_row = plan->rows, .ws_col = plan->columns };
	int unlock = 0;

	fds->ours[0] = sys_open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	if (fds->ours[0] < 0 || ioctl(fds->ours[0], TIOCSPTLCK, &unlock) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "a terminal");
	/* By its master, not by its path: /dev/pts of a container is another one. */
	fds->theirs[0] = ioctl(fds->ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	fds->ours[1] = fcntl(fds->ours[0], F_DUPFD_CLOEXEC, 0);
	if (fds->theirs[0] < 0 || fds->ours[1] < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "a terminal");
	if (plan->rows > 0 && plan->columns > 0)
		ioctl(fds->ours[0], TIOCSWINSZ, &size);
	return true;
}

static bool make_pipes(struct exec_fds *fds, struct failure *f)
{
	for (int i = 0; i < 3; i++) {
		int ends[2], ours = i == 0 ? 1 : 0;

		if (!make_pipe(ends, ours))
			return fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
		fds->ours[i] = ends[ours];
		fds->theirs[i] = ends[!ours];
	}
	return true;
}

static void close_all(struct exec_fds *fds)
{
	for (int i = 0; i < 3; i++) {
		close_fd(&fds->ours[i]);
		close_fd(&fds->theirs[i]);
	}
	close_fd(&fds->report[0]);
	close_fd(&fds->report[1]);
}

static struct process *process_new(const struct exec_plan *plan, const struct request *r)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->container = strdup(plan->container);
	p->id = strdup(plan->id);
	if (p->container == NULL || p->id == NULL) {
		free(p->container);
		free(p->id);
		free(p);
		return NULL;
	}
	p->in.fd = p->exec_report.fd = -1;
	p->stdio = plan->stdio;
	p->stderr_sequence = plan->stderr_sequence;
	p->terminal = plan->terminal;
	p->request = *r;
	p->next = processes;
	processes = p;
	processes_total++;
	return p;
}

/* Takes over our ends of the descriptors. */
static bool attach(struct process *p, struct exec_fds *fds)
{
	int outputs = p->terminal ? 1 : 2;

	process_input_open(p, fds->ours[0]);
	fds->ours[0] = -1;
	for (int i = 0; i < outputs; i++) {
		p->out[i] = output_new(p, fds->ours[1 + i], i == 0 ? p->stdio : p->stderr_sequence, p->terminal);
		if (p->out[i] == NULL)
			return false;
		fds->ours[1 + i] = -1;
	}
	p->exec_report.ready = report_ready;
	if (p->in.fd < 0 || !loop_watch(&p->exec_report, fds->report[0]))
		return false;
	fds->report[0] = -1;
	return true;
}

bool exec_start(const struct exec_plan *plan, const struct request *r, struct failure *f)
{
	struct exec_fds fds = { .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 }, .report = { -1, -1 } };
	struct process *p = NULL;
	pid_t pid;

	if (process_count() >= HP_PROCESSES_MAX || output_count() >= OUTPUTS_MAX)
		return fail(f, HP_E_LIMIT, 0, NULL, "too many processes");
	if (!(plan->terminal ? make_terminal(&fds, plan, f) : make_pipes(&fds, f))) {
		close_all(&fds);
		return false;
	}
	if (!make_pipe(fds.report, 0) || (p = process_new(plan, r)) == NULL || !attach(p, &fds)) {
		fail(f, HP_E_KERNEL, errno, NULL, "starting a process");
	} else if ((pid = container_fork(plan->container_pid)) < 0) {
		fail(f, HP_E_KERNEL, errno, NULL, "fork");
	} else if (pid == 0) {
		exec_child(plan, &fds);
	} else {
		p->pid = pid;
		p->answer_due = r->extended;
		close_all(&fds);
		if (!r->extended)
			reply_ack(r, NULL, 0); /* the original does not wait for execve */
		return true;
	}
	if (p != NULL)
		process_free(p);
	close_all(&fds);
	return false;
}

static bool strings(const struct json *doc, uint32_t list, char ***out, struct failure *f)
{
	size_t n = 0;

	*out = calloc((list != 0 ? doc->nodes[list].count : 0) + 1u, sizeof(char *));
	if (*out == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "out of memory");
	JSON_EACH(doc, list, item)
		(*out)[n++] = (char *)(uintptr_t)doc->nodes[item].string;
	return true;
}

static bool plan_environment(struct exec_plan *plan, const struct json *doc, uint32_t list, struct failure *f)
{
	struct hp_value v[HP_EnvironmentVariable_COUNT];
	size_t n = 0;

	plan->env = calloc((list != 0 ? doc->nodes[list].count : 0) + 1u, sizeof(char *));
	if (plan->env == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "out of memory");
	JSON_EACH(doc, list, item) {
		const char *name, *value;
		size_t size;

		if (!json_decode(doc, item, &hp_schema_EnvironmentVariable, v, f))
			return false;
		name = v[HP_EnvironmentVariable_env].string;
		value = v[HP_EnvironmentVariable_value].string;
		if (*name == 0 || strchr(name, '=') != NULL)
			return fail(f, HP_E_INVALID, 0, "env", "expected a variable's name, got \"%.64s\"", name);
		size = strlen(name) + strlen(value) + 2;
		plan->env[n] = malloc(size);
		if (plan->env[n] == NULL)
			return fail(f, HP_E_LIMIT, 0, NULL, "out of memory");
		snprintf(plan->env[n++], size, "%s=%s", name, value);
	}
	return true;
}

static bool plan_limits(struct exec_plan *plan, const struct json *doc, uint32_t list, struct failure *f)
{
	struct hp_value v[HP_ResourceLimit_COUNT];

	JSON_EACH(doc, list, item) {
		struct exec_limit *limit = &plan->limits[plan->limit_count];

		if (plan->limit_count == COUNT_OF(plan->limits))
			return fail(f, HP_E_LIMIT, 0, "rlimits", "more than %zu limits", COUNT_OF(plan->limits));
		if (!json_decode(doc, item, &hp_schema_ResourceLimit, v, f))
			return false;
		if (!exec_limit_by_name(v[HP_ResourceLimit_type].string, &limit->resource))
			return fail(f, HP_E_INVALID, 0, "rlimits", "no limit is called %.64s", v[HP_ResourceLimit_type].string);
		limit->soft = v[HP_ResourceLimit_soft].number;
		limit->hard = v[HP_ResourceLimit_hard].number;
		plan->limit_count++;
	}
	return true;
}

static bool plan_sequences(struct exec_plan *plan, const struct hp_value *v, struct failure *f)
{
	plan->stdio = v[HP_Process_stdio].number;
	plan->stderr_sequence = plan->terminal ? 0 : v[HP_Process_stderr].number;
	if (plan->stdio == 0 || sequence_in_use(plan->stdio))
		return fail(f, HP_E_INVALID, 0, "stdio", "expected a sequence that is not 0 and not in use");
	if (plan->terminal)
		return true;
	if (plan->stderr_sequence == 0 || plan->stderr_sequence == plan->stdio || sequence_in_use(plan->stderr_sequence))
		return fail(f, HP_E_INVALID, 0, "stderr", "expected a sequence that is not 0 and not in use");
	return true;
}

bool exec_plan_read(struct exec_plan *plan, const struct json *doc, uint32_t node, struct failure *f)
{
	struct hp_value v[HP_Process_COUNT];

	if (!json_decode(doc, node, &hp_schema_Process, v, f))
		return false;
	plan->id = v[HP_Process_id].string;
	plan->terminal = v[HP_Process_terminal].number != 0;
	plan->workdir = v[HP_Process_workdir].present ? v[HP_Process_workdir].string : "/";
	plan->user = v[HP_Process_user].string;
	plan->group = v[HP_Process_group].string;
	if (v[HP_Process_row].number > UINT16_MAX || v[HP_Process_column].number > UINT16_MAX)
		return fail(f, HP_E_INVALID, 0, "row", "a terminal's rows and columns are at most 65535");
	plan->rows = (uint16_t)v[HP_Process_row].number;
	plan->columns = (uint16_t)v[HP_Process_column].number;
	if (*plan->id == 0)
		return fail(f, HP_E_INVALID, 0, "id", "a process without an id");
	if (v[HP_Process_args].node == 0 || doc->nodes[v[HP_Process_args].node].count == 0 ||
	    *doc->nodes[doc->nodes[v[HP_Process_args].node].child].string == 0)
		return fail(f, HP_E_INVALID, 0, "args", "no program is named");
	return plan_sequences(plan, v, f) && strings(doc, v[HP_Process_args].node, &plan->argv, f) &&
	       strings(doc, v[HP_Process_additionalGroups].node, &plan->groups, f) &&
	       plan_environment(plan, doc, v[HP_Process_envs].node, f) &&
	       plan_limits(plan, doc, v[HP_Process_rlimits].node, f);
}

void exec_plan_free(struct exec_plan *plan)
{
	for (char **e = plan->env; e != NULL && *e != NULL; e++)
		free(*e);
	free(plan->env);
	free(plan->argv);
	free(plan->groups);
}

bool handle_exec(struct call *call, struct failure *f)
{
	struct exec_plan plan = { .container = call->v[HP_Exec_container].string, .base = !call->request.extended };
	bool ok;

	if (strcmp(plan.container, OWN_CONTAINER) != 0 && !container_plan(plan.container, &plan, f))
		return false;
	ok = exec_plan_read(&plan, &call->doc, call->v[HP_Exec_process].node, f);
	if (ok) {
		struct process *p = process_find(plan.container, plan.id);

		if (p != NULL && !p->detached)
			ok = fail(f, HP_E_INVALID, 0, "id", "a process %.64s runs already", plan.id);
	}
	ok = ok && exec_start(&plan, &call->request, f);
	exec_plan_free(&plan);
	return ok;
}

static bool find_process(const char *container, const char *id, struct process **p, struct failure *f)
{
	*p = process_find(container, id);
	return *p != NULL || fail(f, HP_E_NOT_FOUND, 0, "process", "no process %.64s runs in %.64s", id, container);
}

bool handle_winsize(struct call *call, struct failure *f)
{
	struct winsize size = { 0 };
	struct process *p;

	if (!find_process(call->v[HP_WindowSize_container].string, call->v[HP_WindowSize_process].string, &p, f))
		return false;
	if (!p->terminal || p->in.fd < 0)
		return fail(f, HP_E_INVALID, 0, "process", "process %.64s has no terminal", p->id);
	if (call->v[HP_WindowSize_row].number > UINT16_MAX || call->v[HP_WindowSize_column].number > UINT16_MAX)
		return fail(f, HP_E_INVALID, 0, "row", "a terminal's rows and columns are at most 65535");
	size.ws_row = (uint16_t)call->v[HP_WindowSize_row].number;
	size.ws_col = (uint16_t)call->v[HP_WindowSize_column].number;
	if (ioctl(p->in.fd, TIOCSWINSZ, &size) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "the size of the terminal");
	reply_ack(&call->request, NULL, 0);
	return true;
}

bool handle_signal(struct call *call, struct failure *f)
{
	uint64_t number = call->v[HP_SignalProcess_signal].number;
	struct process *p;

	if (number < 1 || number > 64)
		return fail(f, HP_E_INVALID, 0, "signal", "expected a signal from 1 to 64");
	if (!find_process(call->v[HP_SignalProcess_container].string, call->v[HP_SignalProcess_process].string, &p, f))
		return false;
	process_signal(p, (int)number);
	reply_ack(&call->request, NULL, 0);
	return true;
}
