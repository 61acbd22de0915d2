/* launcher confined|outer OPTION... -- [NAME=VALUE]... PROGRAM [ARGUMENT]...
 * launcher ahead DIRECTORY PROGRAM [ARGUMENT]...
 * launcher clone ROOT [ARGUMENT]... */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

_Noreturn void die(const char *what)
{
	fprintf(stderr, "launcher: %s: %s\n", what, strerror(errno));
	_exit(EXIT_TROUBLE);
}

void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void close_from(int first)
{
	/* Kernels before 5.9 lack it. */
	if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0)
		return;
	for (long fd = first, end = sysconf(_SC_OPEN_MAX); fd < end; fd++)
		close((int)fd);
}

/* The same command as `hyperplug`. */
static _Noreturn void run_clone(const char *root, char **words)
{
	static char node[] = "node";
	struct bytes directory = { 0 }, script = { 0 };

	bytes_format(&directory, "%.400s/dist/bundle/cli", root);
	bytes_format(&script, "%.400s/%s", root, clone_is_set_up(root) ? "dist/bundle/cli/main.js" : "scripts/launch.cjs");
	words[0] = node;
	words[1] = script.data;
	ahead(directory.data, words);
}

int main(int argc, char **argv)
{
	if (argc > 2 && (strcmp(argv[1], "confined") == 0 || strcmp(argv[1], "outer") == 0))
		confine(argv + 1, argv[1]);
	if (argc > 3 && strcmp(argv[1], "ahead") == 0)
		ahead(argv[2], argv + 3);
	if (argc > 2 && strcmp(argv[1], "clone") == 0)
		run_clone(argv[2], argv + 1);
	fputs("launcher: expected confined, outer, ahead or clone, with what it is about\n", stderr);
	return EXIT_TROUBLE;
}
