/* Begins a VM ahead of the program that wants it, and becomes that program, which takes the VM or ends it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

/* What the program is told (src/host/head-start-given.ts). */
#define VARIABLE "HYPERPLUG_AHEAD"

/* A VM that does not end when it is told to is left to the next start. */
#define END_TIMEOUT_MS 20000
#define REMOVALS 50

/* When the last process of the VM is gone: until then it counts as ours, and may make files. */
static void wait_for_the_last(int stderr_fd)
{
	struct pollfd last = { .fd = stderr_fd };

	while (poll(&last, 1, END_TIMEOUT_MS) < 0 && errno == EINTR)
		;
}

static void remove_all(struct begun *b)
{
	while (b->trees > 0) {
		const char *tree = b->tree[b->trees - 1];

		for (int attempt = 0; !remove_tree(tree) && access(tree, F_OK) == 0 && attempt < REMOVALS; attempt++)
			usleep(10000);
		b->trees--;
	}
	unlink(b->lock);
}

/* The kernel has ended the VM by then, or the program has. */
static _Noreturn void keep_house(struct begun *b, int program, int lock_fd, int stderr_fd)
{
	char taken;
	ssize_t n;

	setsid();
	reset_signals();
	/* Nothing else stays open: others wait for the end of what they read. */
	if (chdir("/") != 0 || dup2(program, 0) < 0 || dup2(lock_fd, 1) < 0 || dup2(stderr_fd, 2) < 0)
		_exit(EXIT_TROUBLE);
	close_from(3);
	do
		n = read(0, &taken, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		wait_for_the_last(2);
		remove_all(b);
	}
	_exit(0);
}

bool start_janitor(struct begun *b)
{
	int ends[2], words[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if (pipe2(words, O_CLOEXEC) != 0) {
		close(ends[0]);
		close(ends[1]);
		return false;
	}
	b->stderr_fd = words[0];
	b->stderr_end = words[1];
	b->janitor_fd = ends[1];
	int lock_fd = b->lock_fd, stderr_fd = b->stderr_fd;
	pid_t janitor = fork();
	if (janitor == 0)
		keep_house(b, ends[0], lock_fd, stderr_fd);
	close(ends[0]);
	b->janitor = janitor > 0 ? janitor : 0;
	return janitor > 0;
}

/* All has failed: who waits for the janitor's descriptor finds it closed. */
static void give_up(struct begun *b)
{
	int fds[] = { b->socket_fd, b->stderr_fd, b->stderr_end, b->janitor_fd, b->lock_fd };

	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	if (b->janitor == 0 && b->lock[0] != '\0')
		unlink(b->lock);
	for (unsigned each = 0; each < b->passed; each++)
		close(b->pass[each]);
	for (size_t each = 0; each < COUNT_OF(fds); each++)
		if (fds[each] >= 0)
			close(fds[each]);
	if (b->janitor > 0)
		waitpid(b->janitor, NULL, 0);
}

/* A signal that ends us, and has come meanwhile. */
static bool asked_to_end(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t pending;

	if (sigpending(&pending) != 0)
		return false;
	for (size_t each = 0; each < COUNT_OF(signals); each++)
		if (sigismember(&pending, signals[each]) == 1)
			return true;
	return false;
}

/* Inherited by the program. */
static bool hand_on(int fd)
{
	return fd < 0 || fcntl(fd, F_SETFD, 0) == 0;
}

/* As JSON: what the program finds is by descriptor, or a number. */
static void tell(const struct begun *b, const struct memo *memo)
{
	struct bytes text = { 0 };

	bytes_format(&text, "{\"podId\":\"%s\",\"macs\":[", b->id);
	for (unsigned each = 0; each < b->macs; each++)
		bytes_format(&text, "%s\"%s\"", each == 0 ? "" : ",", b->mac[each]);
	bytes_format(&text, "],\"pid\":%d,\"memoFd\":%d,\"lockFd\":%d,\"socketFd\":%d,\"stderrFd\":%d,\"janitorFd\":%d", (int)b->pid,
		     memo->fd, b->lock_fd, b->socket_fd, b->stderr_fd, b->janitor_fd);
	bytes_format(&text, ",\"janitorPid\":%d", (int)b->janitor);
	if (b->has_user)
		bytes_format(&text, ",\"uid\":%u", (unsigned)b->uid);
	bytes_text(&text, "}");
	setenv(VARIABLE, text.data, 1);
}

static void begin(const char *directory, char *const *args)
{
	struct begun *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct memo memo;
	struct bytes self = { 0 };
	sigset_t all, before;

	if (b == MAP_FAILED || !memo_find(&memo, directory, args))
		return;
	b->lock_fd = b->socket_fd = b->stderr_fd = b->stderr_end = b->janitor_fd = -1;
	bytes_text(&self, directory);
	bytes_text(&self, "/launcher");
	/* Nothing ends us in the midst of it. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	if (recipe_carry_out(b, &memo, self.data) && !asked_to_end() && hand_on(b->lock_fd) && hand_on(b->socket_fd) &&
	    hand_on(b->stderr_fd) && hand_on(b->janitor_fd)) {
		tell(b, &memo);
	} else {
		give_up(b);
		close(memo.fd);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

_Noreturn void ahead(const char *directory, char **words)
{
	unsetenv(VARIABLE);
	if (directory != NULL && words[1] != NULL && words[2] != NULL && strcmp(words[2], "run") == 0)
		begin(directory, words + 2);
	execvp(words[0], words);
	die(words[0]);
}
