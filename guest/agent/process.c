/* The table of processes: found, told the host about, detached, reaped, signalled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "boot.h"
#include "container.h"
#include "exec.h"
#include "process.h"
#include "sys.h"

struct process *processes;
static unsigned processes_total;
static bool processes_any;

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

bool process_sequence_in_use(uint64_t sequence)
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

bool process_ever(void)
{
	return processes_any;
}

struct process *process_new(const struct exec_plan *plan, const struct request *r)
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
	p->main = plan->main;
	p->request = *r;
	p->next = processes;
	processes = p;
	processes_total++;
	processes_any = true;
	return p;
}

void process_free(struct process *p)
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
	if (session.extended && p->main)
		write_text(&w, ",\"main\":true");
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
	p->never_ran = true;
	if (p->main) /* before the caller could ask; that it is still to be reaped concerns nobody */
		container_main_ended(p->container, p->pid, 0, false);
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

void process_report_ready(struct source *s, uint32_t events)
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
	if (p->main)
		container_main_ended(p->container, p->pid, status, !p->never_ran);
	/* The end of a main process concerns whoever speaks with us now. */
	if ((!p->detached || (p->main && !p->never_ran)) && session.extended)
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
		if (p != NULL) {
			process_ended(p, status);
			continue;
		}
		boot_child_ended(pid);
		container_init_ended(pid);
	}
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
