/* launcher confined|outer OPTION... -- [NAME=VALUE]... PROGRAM [ARGUMENT]...
 * launcher ahead DIRECTORY PROGRAM [ARGUMENT]...
 * launcher clone ROOT [ARGUMENT]... */
#include <errno.h>
#include <fcntl.h>
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

	bool current = clone_is_set_up(root);

	bytes_text(&directory, root);
	bytes_text(&directory, "/dist/bundle/cli");
	bytes_text(&script, root);
	bytes_text(&script, current ? "/dist/bundle/cli/main.js" : "/scripts/launch.cjs");
	words[0] = node;
	words[1] = script.data;
	/* What is compiled anew may begin VMs in another way. */
	ahead(current ? directory.data : NULL, words);
}

/* As Node.js does: else what is opened next were a standard stream. */
static void open_standard_streams(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 3)
		;
	if (fd >= 3)
		close(fd);
}

int main(int argc, char **argv)
{
	open_standard_streams();
	if (argc > 2 && (strcmp(argv[1], "confined") == 0 || strcmp(argv[1], "outer") == 0))
		confine(argv + 1, argv[1]);
	if (argc > 3 && strcmp(argv[1], "ahead") == 0)
		ahead(argv[2], argv + 3);
	if (argc > 2 && strcmp(argv[1], "clone") == 0)
		run_clone(argv[2], argv + 1);
	fputs("launcher: expected confined, outer, ahead or clone, with what it is about\n", stderr);
	return EXIT_TROUBLE;
}
