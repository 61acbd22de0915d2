/* Takes from this process all that the program it becomes has no need of.
 *
 * confined: the program takes this process's place. outer: it gets user, PID, network and IPC namespaces of its own, and two
 * processes around it. This one tells its end. The first of the PID namespace (`inner`, as /proc shows it) takes all others
 * with it when it ends; the program cannot be the first itself, as a kernel that panics aborts, which the first does not do.
 *
 * --uid=N --gid=N [--groups=N,...]  its user, from root
 * --caps=HEX                        capabilities that it may keep; from root
 * --parent=PID                      it dies with this process
 * --fsize=BYTES                     no file that it writes grows beyond; the write fails, and it lives on
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_GROUPS 32

struct options {
	bool user, root;
	uid_t uid;
	gid_t gid;
	gid_t groups[MAX_GROUPS];
	size_t group_count;
	uint64_t caps;
	pid_t parent;
	rlim_t fsize;
};

static _Noreturn void misused(const char *word)
{
	fprintf(stderr, "launcher: option %s is not one, or its value is none\n", word);
	_exit(EXIT_TROUBLE);
}

static uint64_t number(const char *word, const char *text, int base)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, base);
	if (errno != 0 || end == text || *end != '\0')
		misused(word);
	return value;
}

/* The last of all means that nothing is to be changed. */
static uid_t id(const char *word, const char *text)
{
	uint64_t value = number(word, text, 10);

	if (value >= UINT32_MAX)
		misused(word);
	return (uid_t)value;
}

static void parse_groups(struct options *o, char *word, char *text)
{
	for (char *each = strtok(text, ","); each != NULL; each = strtok(NULL, ",")) {
		if (o->group_count == MAX_GROUPS)
			misused(word);
		o->groups[o->group_count++] = (gid_t)number(word, each, 10);
	}
}

/* The words behind the dashes. */
static char **parse(struct options *o, char **words)
{
	for (; *words != NULL && strcmp(*words, "--") != 0; words++) {
		char copy[512];
		char *value = NULL;

		if (strlen(*words) < sizeof(copy))
			value = strchr(strcpy(copy, *words), '=');
		if (value == NULL)
			misused(*words);
		*value++ = '\0';
		if (strcmp(copy, "--uid") == 0)
			o->user = true, o->uid = id(*words, value);
		else if (strcmp(copy, "--gid") == 0)
			o->gid = id(*words, value);
		else if (strcmp(copy, "--groups") == 0)
			parse_groups(o, *words, value);
		else if (strcmp(copy, "--caps") == 0)
			o->root = true, o->caps = number(*words, value, 16);
		else if (strcmp(copy, "--parent") == 0)
			o->parent = (pid_t)number(*words, value, 10);
		else if (strcmp(copy, "--fsize") == 0)
			o->fsize = number(*words, value, 10);
		else
			misused(*words);
	}
	if (*words == NULL || words[1] == NULL)
		misused("--");
	return words + 1;
}

/* What is not in it cannot come back by an exec. */
static void bound_capabilities(uint64_t caps)
{
	for (int each = 0; each < 64; each++)
		/* EINVAL: beyond the last that the kernel has. */
		if ((caps >> each & 1) == 0 && prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0 && errno != EINVAL)
			die("capability bounding set");
}

/* Permitted, effective and inheritable. */
static void set_capabilities(uint64_t caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int half = 0; half < 2; half++)
		data[half].permitted = data[half].effective = data[half].inheritable = (uint32_t)(caps >> 32 * half);
	if (syscall(SYS_capset, &header, data) != 0)
		die("capabilities");
}

static void become_user(const struct options *o)
{
	/* Of those that are kept. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		die("keep capabilities");
	if (setgroups(o->group_count, o->groups) != 0 || setresgid(o->gid, o->gid, o->gid) != 0)
		die("groups");
	if (setresuid(o->uid, o->uid, o->uid) != 0)
		die("user");
}

static void confine_self(const struct options *o)
{
	struct rlimit no_core = { 0, 0 }, fsize = { o->fsize, o->fsize };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("no new privileges");
	/* Lower than the present ones, or root's to set. */
	if (setrlimit(RLIMIT_CORE, &no_core) != 0 || (o->fsize != 0 && setrlimit(RLIMIT_FSIZE, &fsize) != 0))
		die("resource limits");
	if (!o->root)
		return;
	/* It takes CAP_SETPCAP, which goes with the user. */
	bound_capabilities(o->caps);
	if (o->user)
		become_user(o);
	set_capabilities(o->caps);
	for (int each = 0; each < 64; each++)
		if ((o->caps >> each & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each, 0, 0) != 0)
			die("ambient capabilities");
}

/* The kernel forgets the death signal with a change of user, so that this comes last. */
static void die_with(pid_t parent)
{
	if (parent == 0)
		return;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		die("death signal");
	/* It may have died before. */
	if (getppid() != parent)
		_exit(EXIT_TROUBLE);
}

static _Noreturn void become(char **words)
{
	static char *nothing[] = { NULL };
	size_t count = 0;

	while (words[count] != NULL && strchr(words[count], '=') != NULL)
		count++;
	if (words[count] == NULL)
		misused("--");
	char **environment = count == 0 ? nothing : calloc(count + 1, sizeof(*environment));
	if (environment == NULL)
		die("memory");
	memcpy(environment, words, count * sizeof(*words));
	/* A file that has grown as large as it may is an error that the program reads, and not its end. */
	signal(SIGXFSZ, SIG_IGN);
	execve(words[count], words + count, environment);
	fprintf(stderr, "launcher: %s: %s\n", words[count], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

static void write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
		die(path);
}

/* user_namespaces(7): whoever makes one may map the own ids to root's in it. */
static void own_namespaces(void)
{
	char uid[64], gid[64];

	snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)geteuid());
	snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) != 0)
		die("namespaces");
	/* After a change of user /proc/self is root's. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
		die("dumpable");
	write_map("/proc/self/setgroups", "deny");
	write_map("/proc/self/uid_map", uid);
	write_map("/proc/self/gid_map", gid);
}

/* As shells tell it. */
static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* @param life has no writer any more when the outer one has died. */
static _Noreturn void inner(int life, char *mark, char **words)
{
	struct pollfd gone = { .fd = life };
	int status;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		die("death signal");
	if (poll(&gone, 1, 0) != 0)
		_exit(EXIT_TROUBLE);
	memcpy(mark, "inner", 5);
	/* Of its own network namespace: the raw sockets of its NICs. */
	bound_capabilities(UINT64_C(1) << CAP_NET_RAW);
	set_capabilities(UINT64_C(1) << CAP_NET_RAW);
	pid_t program = fork();
	if (program < 0)
		die("fork");
	if (program == 0) {
		memcpy(mark, "start", 5);
		/* It signals its group. */
		if (setsid() < 0)
			die("session");
		become(words);
	}
	close_from(3);
	for (;;) {
		pid_t ended = wait(&status);

		if (ended == program)
			_exit(exit_code(status));
		if (ended < 0 && errno != EINTR)
			die("wait");
	}
}

static _Noreturn void outer(const struct options *o, char *mark, char **words)
{
	int life[2], status;

	own_namespaces();
	die_with(o->parent);
	if (pipe2(life, O_CLOEXEC) != 0)
		die("pipe");
	pid_t first = fork();
	if (first < 0)
		die("fork");
	if (first == 0) {
		close(life[1]);
		inner(life[0], mark, words);
	}
	/* Who waits for the last to leave a serial line waits for the VM, and not for us. */
	if (dup2(life[1], 3) != 3)
		die("descriptor");
	close_from(4);
	while (waitpid(first, &status, 0) < 0)
		if (errno != EINTR)
			die("wait");
	if (WIFSIGNALED(status)) {
		struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		raise(WTERMSIG(status));
	}
	_exit(exit_code(status));
}

_Noreturn void confine(char **words, char *mark)
{
	struct options o = { 0 };
	char **program = parse(&o, words + 1);
	bool namespaces = strcmp(words[0], "outer") == 0;

	reset_signals();
	if (chdir("/") != 0)
		die("/");
	confine_self(&o);
	if (namespaces)
		outer(&o, mark, program);
	die_with(o.parent);
	become(program);
}
