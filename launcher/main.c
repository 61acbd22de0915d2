/* launcher confined|outer OPTION... -- [NAME=VALUE]... PROGRAM [ARGUMENT]...
 * launcher ahead DIRECTORY PROGRAM [ARGUMENT]... */
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

int main(int argc, char **argv)
{
	if (argc > 2 && (strcmp(argv[1], "confined") == 0 || strcmp(argv[1], "outer") == 0))
		confine(argv + 1, argv[1]);
	if (argc > 3 && strcmp(argv[1], "ahead") == 0)
		ahead(argv + 2);
	fputs("launcher: expected confined, outer or ahead, with what it is about\n", stderr);
	return EXIT_TROUBLE;
}
