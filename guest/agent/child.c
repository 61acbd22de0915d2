/* The child's side of EXECCMD, between fork and execve. It may be in the agent's own memory (sys_spawn): what it writes there stays. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cgroup.h"
#include "condev.h"
#include "container.h"
#include "exec.h"
#include "users.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define GROUPS_MAX_COUNT 256

static const struct exec_fds *report_to;
static bool tell_on_stderr;

static noreturn void give_up(int err, const char *what, const char *which)
{
	struct exec_failure why = { .err = err };

	snprintf(why.what, sizeof(why.what), "%s%s%.120s", what, *which != 0 ? " " : "", which);
	if (tell_on_stderr)
		dprintf(2, "exec failed: %s\n", strerror(err));
	if (write(report_to->report[1], &why, sizeof(why)) < 0)
		_exit(126); /* the agent will see the end without a report */
	_exit(127);
}

static const struct {
	const char *name;
	int resource;
} limit_names[] = {
	{ "CPU", RLIMIT_CPU },		 { "FSIZE", RLIMIT_FSIZE },   { "DATA", RLIMIT_DATA },
	{ "STACK", RLIMIT_STACK },	 { "CORE", RLIMIT_CORE },     { "RSS", RLIMIT_RSS },
	{ "NPROC", RLIMIT_NPROC },	 { "NOFILE", RLIMIT_NOFILE }, { "MEMLOCK", RLIMIT_MEMLOCK },
	{ "AS", RLIMIT_AS },		 { "LOCKS", RLIMIT_LOCKS },   { "SIGPENDING", RLIMIT_SIGPENDING },
	{ "MSGQUEUE", RLIMIT_MSGQUEUE }, { "NICE", RLIMIT_NICE },     { "RTPRIO", RLIMIT_RTPRIO },
	{ "RTTIME", RLIMIT_RTTIME },
};

bool exec_limit_by_name(const char *name, int *resource)
{
	if (strncasecmp(name, "RLIMIT_", 7) == 0)
		name += 7;
	for (size_t i = 0; i < COUNT_OF(limit_names); i++)
		if (strcasecmp(name, limit_names[i].name) == 0) {
			*resource = limit_names[i].resource;
			return true;
		}
	return false;
}

/* What the agent handles execve() gives back; what it ignores stays so. A system call costs User Mode Linux many microseconds. */
static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Above 2 first, so that no dup2 runs over an end that is still needed. */
static void connect_streams(const struct exec_plan *plan, const struct exec_fds *fds)
{
	int from[3];

	for (int i = 0; i < 3; i++) {
		from[i] = fcntl(plan->terminal ? fds->theirs[0] : fds->theirs[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			give_up(errno, "the standard streams", "");
	}
	if (plan->terminal && ioctl(from[0], TIOCSCTTY, 0) < 0)
		give_up(errno, "the controlling terminal", "");
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			give_up(errno, "the standard streams", "");
}

static void apply_limits(const struct exec_plan *plan)
{
	for (size_t i = 0; i < plan->limit_count; i++) {
		const struct exec_limit *l = &plan->limits[i];
		struct rlimit value = { (rlim_t)l->soft, (rlim_t)l->hard };

		if (setrlimit((unsigned)l->resource, &value) < 0)
			give_up(errno, "a resource limit", "");
	}
}

static size_t add_group(gid_t *list, size_t n, gid_t gid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == gid)
			return n;
	if (n == GROUPS_MAX_COUNT)
		give_up(EINVAL, "too many groups", "");
	list[n] = gid;
	return n + 1;
}

static void become_user(const struct exec_plan *plan, struct user *user)
{
	static gid_t list[GROUPS_MAX_COUNT];
	size_t n = 0;

	if (!user_find(plan->user != NULL && *plan->user != 0 ? plan->user : "0", user))
		give_up(ENOENT, "user", plan->user);
	if (plan->group != NULL && *plan->group != 0 && !group_find(plan->group, &user->gid))
		give_up(ENOENT, "group", plan->group);
	n = add_group(list, n, user->gid);
	n = user_groups(user->name, list, n, GROUPS_MAX_COUNT);
	for (char **g = plan->groups; *g != NULL; g++) {
		gid_t gid;

		if (!group_find(*g, &gid))
			give_up(ENOENT, "group", *g);
		n = add_group(list, n, gid);
	}
	/* As root without groups nothing changes, and inside a user namespace it may not even be allowed. */
	if (user->uid == 0 && user->gid == 0 && n == 1 && getuid() == 0 && getgid() == 0)
		return;
	if (setgroups(n, list) < 0)
		give_up(errno, "setgroups", "");
	if (setgid(user->gid) < 0)
		give_up(errno, "setgid", "");
	if (setuid(user->uid) < 0)
		give_up(errno, "setuid", "");
}

/* The PATH of the program's own. */
static const char *set_environment(const struct exec_plan *plan, const struct user *user)
{
	static char home[sizeof("HOME=") + sizeof(user->home)];

	snprintf(home, sizeof(home), "HOME=%s", user->home);
	exec_default(plan->env, home);
	if (plan->terminal)
		exec_default(plan->env, "TERM=xterm");
	return exec_default(plan->env, "PATH=" DEFAULT_PATH);
}

/*
 * As execvpe(), by that PATH, but where there is no file it does not try: before it looks for the file the kernel makes an address
 * space, which is a process of the host in User Mode Linux. Returns with errno.
 */
static void become_program(char **argv, char **env, const char *path)
{
	int found = ENOENT;

	if (*argv[0] == 0 || strchr(argv[0], '/') != NULL) {
		execve(argv[0], argv, env);
		return;
	}
	for (size_t length; path != NULL; path = path[length] == 0 ? NULL : path + length + 1) {
		char program[PATH_MAX];

		length = strcspn(path, ":");
		/* An empty name is the working directory. */
		if (!format_into(program, sizeof(program), "%.*s%s%s", (int)length, path, length > 0 ? "/" : "", argv[0]))
			continue;
		if (access(program, F_OK) == 0)
			execve(program, argv, env);
		if (errno == EACCES)
			found = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return;
	}
	errno = found;
}

noreturn void exec_child(const struct exec_plan *plan, const struct exec_fds *fds)
{
	struct user user;

	report_to = fds;
	tell_on_stderr = false;
	reset_signals();
	if (setsid() < 0)
		give_up(errno, "setsid", "");
	if (agent.pid1)
		setpriority(PRIO_PROCESS, 0, 0);
	connect_streams(plan, fds);
	tell_on_stderr = plan->base;
	if (plan->container_pid > 0) {
		cgroup_enter(plan->container);
		if (!container_enter(plan->container_pid))
			give_up(errno, "entering container", plan->container);
		condev_drop_capabilities();
	}
	apply_limits(plan);
	become_user(plan, &user);
	if (chdir(*plan->workdir != 0 ? plan->workdir : "/") < 0)
		give_up(errno, "cannot change to directory", plan->workdir);
	become_program(plan->argv, plan->env, set_environment(plan, &user));
	give_up(errno, "cannot start", plan->argv[0]);
}
