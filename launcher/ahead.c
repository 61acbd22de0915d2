/* Begins a VM ahead of the program that wants it, and becomes that program, which takes the VM or ends it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

/* What the program is told (src/host/head-start-given.ts). */
#define VARIABLE "HYPERPLUG_AHEAD"

/* That end a program which does not listen. */
static const int SIGNALS[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

void undo(struct begun *b, bool child)
{
	if (b->pid > 0) {
		struct pollfd ended = { .fd = b->pidfd, .events = POLLIN };

		if (b->pidfd >= 0)
			syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
		else
			kill(b->pid, SIGKILL);
		if (child)
			waitpid(b->pid, NULL, 0);
		else
			while (poll(&ended, 1, -1) < 0 && errno == EINTR)
				;
	}
	while (b->trees > 0)
		remove_tree(b->tree[--b->trees]);
	if (b->lock != NULL)
		unlink(b->lock);
	if (b->lock_fd >= 0)
		close(b->lock_fd);
}

static _Noreturn void keep_house(struct begun *b, int program)
{
	char taken;
	ssize_t n;

	setsid();
	reset_signals();
	if (chdir("/") != 0)
		_exit(EXIT_TROUBLE);
	/* Standard streams have readers who wait for their end. */
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	for (unsigned each = 0; each < b->passed; each++)
		close(b->pass[each]);
	if (b->socket_fd >= 0)
		close(b->socket_fd);
	if (b->stderr_fd >= 0)
		close(b->stderr_fd);
	do
		n = read(program, &taken, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		undo(b, false);
	_exit(0);
}

int janitor(struct begun *b)
{
	int ends[2], status;

	if (pipe(ends) != 0)
		return -1;
	/* Nobody's child: the program waits for its own alone. */
	pid_t between = fork();
	if (between == 0) {
		close(ends[1]);
		pid_t janitor = fork();
		if (janitor == 0)
			keep_house(b, ends[0]);
		_exit(janitor < 0);
	}
	close(ends[0]);
	if (between > 0 && waitpid(between, &status, 0) == between && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ends[1];
	close(ends[1]);
	return -1;
}

static bool asked_to_end(void)
{
	sigset_t pending;

	if (sigpending(&pending) != 0)
		return false;
	for (size_t each = 0; each < COUNT_OF(SIGNALS); each++)
		if (sigismember(&pending, SIGNALS[each]) == 1)
			return true;
	return false;
}

/* As JSON: what the program finds is by descriptor, or a number. */
static void tell(const struct begun *b, const struct memo *memo, int janitor_fd)
{
	struct bytes text = { 0 };

	bytes_format(&text, "{\"podId\":\"%s\",\"macs\":[", b->id);
	for (unsigned each = 0; each < b->macs; each++)
		bytes_format(&text, "%s\"%s\"", each == 0 ? "" : ",", b->mac[each]);
	bytes_format(&text, "],\"pid\":%d,\"memoFd\":%d,\"lockFd\":%d,\"socketFd\":%d,\"stderrFd\":%d,\"janitorFd\":%d", (int)b->pid,
		     memo->fd, b->lock_fd, b->socket_fd, b->stderr_fd, janitor_fd);
	if (b->has_user)
		bytes_format(&text, ",\"uid\":%u", (unsigned)b->uid);
	bytes_text(&text, "}");
	setenv(VARIABLE, text.data, 1);
}

static void begin(const char *directory, char *const *args)
{
	struct begun b = { .lock_fd = -1, .socket_fd = -1, .stderr_fd = -1, .pidfd = -1 };
	struct memo memo;
	struct bytes self = { 0 };
	sigset_t held, before;
	int janitor_fd = -1;

	if (!memo_find(&memo, directory, args))
		return;
	bytes_format(&self, "%.400s/launcher", directory);
	/* Between the first file and who removes them nothing ends us. */
	sigemptyset(&held);
	for (size_t each = 0; each < COUNT_OF(SIGNALS); each++)
		sigaddset(&held, SIGNALS[each]);
	sigprocmask(SIG_BLOCK, &held, &before);
	if (recipe_carry_out(&b, &memo, self.data) && !asked_to_end())
		janitor_fd = janitor(&b);
	if (janitor_fd >= 0) {
		tell(&b, &memo, janitor_fd);
	} else {
		undo(&b, true);
		for (size_t each = 0; each < b.passed; each++)
			close(b.pass[each]);
		close(memo.fd);
	}
	if (b.pidfd >= 0)
		close(b.pidfd);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

_Noreturn void ahead(const char *directory, char **words)
{
	unsetenv(VARIABLE);
	if (words[1] != NULL && words[2] != NULL && strcmp(words[2], "run") == 0)
		begin(directory, words + 2);
	execvp(words[0], words);
	die(words[0]);
}
