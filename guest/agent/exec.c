/* EXECCMD: what is asked, and the agent's side of starting it. */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "conplace.h"
#include "container.h"
#include "process.h"
#include "sys.h"

/* Outputs that nobody wants any more, but that something in the guest still writes to. */
#define OUTPUTS_MAX (4 * HP_PROCESSES_MAX)

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

	if (plan->container_pid > 0)
		fds->ours[0] = terminal_in(plan->container_pid);
	if (fds->ours[0] < 0)
		fds->ours[0] = sys_open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	if (fds->ours[0] < 0 || ioctl(fds->ours[0], TIOCSPTLCK, &unlock) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "a terminal");
	/* By its master, not by its path, which a container has in its own /dev/pts. */
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

/* One pipe for both outputs, so that their order is kept. */
static bool make_logged(struct exec_fds *fds, struct failure *f)
{
	int ends[2];

	fds->theirs[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fds->theirs[0] < 0 || !make_pipe(ends, 0))
		return fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
	fds->ours[1] = ends[0];
	fds->theirs[1] = ends[1];
	fds->theirs[2] = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
	return fds->theirs[2] >= 0 || fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
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

static bool attach_streams(struct process *p, struct exec_fds *fds)
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
	return p->in.fd >= 0;
}

/* Of a terminal, the master is the log's alone. */
static bool attach_log(const struct exec_plan *plan, struct exec_fds *fds)
{
	struct failure f;
	struct container *c = container_get(plan->container, &f);

	if (c == NULL || !container_log_watch(c, fds->ours[1]))
		return false;
	fds->ours[1] = -1;
	return true;
}

/* Takes over our ends of the descriptors. */
static bool attach(struct process *p, const struct exec_plan *plan, struct exec_fds *fds)
{
	if (!(plan->log ? attach_log(plan, fds) : attach_streams(p, fds)))
		return false;
	p->exec_report.ready = process_report_ready;
	if (!loop_watch(&p->exec_report, fds->report[0]))
		return false;
	fds->report[0] = -1;
	return true;
}

static bool make_streams(struct exec_fds *fds, const struct exec_plan *plan, struct failure *f)
{
	if (plan->terminal)
		return make_terminal(fds, plan, f);
	return plan->log ? make_logged(fds, f) : make_pipes(fds, f);
}

struct exec_child {
	const struct exec_plan *plan;
	const struct exec_fds *fds;
};

static int spawned(void *argument)
{
	const struct exec_child *child = argument;

	exec_child(child->plan, child->fds);
}

static bool of_root(const struct exec_plan *plan)
{
	return plan->user == NULL || *plan->user == 0 || strcmp(plan->user, "0") == 0 || strcmp(plan->user, "root") == 0;
}

/*
 * Where namespaces have to be entered, what is on the way to the program may take its time. And once it is another user's, what
 * else that one runs can stop it (SIGSTOP), which we would wait for.
 */
static pid_t start_child(const struct exec_plan *plan, const struct exec_fds *fds)
{
	struct exec_child child = { plan, fds };
	pid_t pid;

	if (plan->container_pid == 0 && of_root(plan))
		return sys_spawn(spawned, &child);
	pid = container_fork(plan->container_pid);
	if (pid == 0)
		exec_child(plan, fds);
	return pid;
}

bool exec_start(const struct exec_plan *plan, const struct request *r, struct failure *f)
{
	struct exec_fds fds = { .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 }, .report = { -1, -1 } };
	struct process *p = NULL;
	pid_t pid;

	if (process_count() >= HP_PROCESSES_MAX || output_count() >= OUTPUTS_MAX)
		return fail(f, HP_E_LIMIT, 0, NULL, "too many processes");
	if (!make_streams(&fds, plan, f)) {
		close_all(&fds);
		return false;
	}
	if (!make_pipe(fds.report, 0) || (p = process_new(plan, r)) == NULL || !attach(p, plan, &fds)) {
		fail(f, HP_E_KERNEL, errno, NULL, "starting a process");
	} else if ((pid = start_child(plan, &fds)) < 0) {
		fail(f, HP_E_KERNEL, errno, NULL, "fork");
	} else {
		p->pid = pid;
		if (plan->main)
			container_main_started(plan->container, pid);
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

/* The variable by that name, or the end of the list. */
static char **variable(char **env, const char *name)
{
	size_t n = strlen(name);

	while (*env != NULL && (strncmp(*env, name, n) != 0 || (*env)[n] != '='))
		env++;
	return env;
}

static bool plan_environment(struct exec_plan *plan, const struct json *doc, uint32_t list, struct failure *f)
{
	struct hp_value v[HP_EnvironmentVariable_COUNT];

	plan->env = calloc((list != 0 ? doc->nodes[list].count : 0) + EXEC_DEFAULTS + 1u, sizeof(char *));
	if (plan->env == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "out of memory");
	JSON_EACH(doc, list, item) {
		const char *name, *value;
		char **at, *text;
		size_t size;

		if (!json_decode(doc, item, &hp_schema_EnvironmentVariable, v, f))
			return false;
		name = v[HP_EnvironmentVariable_env].string;
		value = v[HP_EnvironmentVariable_value].string;
		if (*name == 0 || strchr(name, '=') != NULL)
			return fail(f, HP_E_INVALID, 0, "env", "expected a variable's name, got \"%.64s\"", name);
		size = strlen(name) + strlen(value) + 2;
		text = malloc(size);
		if (text == NULL)
			return fail(f, HP_E_LIMIT, 0, NULL, "out of memory");
		snprintf(text, size, "%s=%s", name, value);
		/* The last of a name counts. */
		at = variable(plan->env, name);
		plan->env_count += *at == NULL;
		free(*at);
		*at = text;
	}
	return true;
}

const char *exec_default(char **env, const char *text)
{
	char name[16], **at;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
	at = variable(env, name);
	if (*at == NULL)
		*at = (char *)(uintptr_t)text;
	return strchr(*at, '=') + 1;
}

/* From 2^53 on a number of JSON is not exact in every program that writes it: no limit. */
static uint64_t limit_of(uint64_t number)
{
	return number >= (uint64_t)1 << 53 ? (uint64_t)RLIM_INFINITY : number;
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
		limit->soft = limit_of(v[HP_ResourceLimit_soft].number);
		limit->hard = limit_of(v[HP_ResourceLimit_hard].number);
		plan->limit_count++;
	}
	return true;
}

static bool plan_sequences(struct exec_plan *plan, const struct hp_value *v, struct failure *f)
{
	if (plan->log)
		return v[HP_Process_stdio].number == 0 && v[HP_Process_stderr].number == 0 ?
			       true :
			       fail(f, HP_E_INVALID, 0, "log", "a process whose output is kept has no streams");
	plan->stdio = v[HP_Process_stdio].number;
	plan->stderr_sequence = plan->terminal ? 0 : v[HP_Process_stderr].number;
	if (plan->stdio == 0 || process_sequence_in_use(plan->stdio))
		return fail(f, HP_E_INVALID, 0, "stdio", "expected a sequence that is not 0 and not in use");
	if (plan->terminal)
		return true;
	if (plan->stderr_sequence == 0 || plan->stderr_sequence == plan->stdio || process_sequence_in_use(plan->stderr_sequence))
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
	plan->main = plan->main || v[HP_Process_main].number != 0;
	plan->log = v[HP_Process_log].number != 0;
	if ((plan->main || plan->log) && plan->container_pid == 0)
		return fail(f, HP_E_INVALID, 0, "main", "only a container has a main process");
	if (plan->log && !plan->main)
		return fail(f, HP_E_INVALID, 0, "log", "only a main process's output is kept");
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
	/* What the child has added to its own is not ours to free. */
	for (size_t i = 0; i < plan->env_count; i++)
		free(plan->env[i]);
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
	if (ok && plan.main) {
		struct container *c = container_get(plan.container, f);

		ok = c != NULL && (c->state != CONTAINER_RUNNING ||
				   fail(f, HP_E_INVALID, 0, "main", "the main process of %.64s runs already", c->id));
	}
	ok = ok && exec_start(&plan, &call->request, f);
	exec_plan_free(&plan);
	return ok;
}

