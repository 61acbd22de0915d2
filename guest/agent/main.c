/* hyperplug's agent: PID 1 of a VM, or (for tests) a program of the host. See README.md. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "power.h"
#include "process.h"

static const char usage[] =
	"usage: agent --control PATH|fd:N --streams PATH|fd:N [--root DIR] [--own-uts]\n"
	"  PATH       a unix socket to listen on, or a terminal or port that exists\n"
	"  --root     where /etc and /sys are; without it STARTPOD and ONLINECPUMEM are refused\n"
	"  --own-uts  the agent has a UTS namespace of its own: STARTPOD sets the host name\n"
	"As PID 1 it takes no arguments.\n";

static struct source signals = { .fd = -1 };

static void signals_ready(struct source *s, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			power_off("a signal");
	}
	/* One SIGCHLD may stand for several children. */
	processes_reap();
	power_children_gone();
}

static bool watch_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signals.ready = signals_ready;
	return sigprocmask(SIG_BLOCK, &set, NULL) == 0 &&
	       (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) >= 0 && loop_watch(&signals, fd);
}

static bool open_host_channel(struct channel *ch, const char *where)
{
	struct stat st;
	uint64_t fd;

	if (strncmp(where, "fd:", 3) == 0)
		return parse_u64(where + 3, 65535, &fd) && channel_open_socket(ch, (int)fd);
	if (stat(where, &st) == 0 && S_ISCHR(st.st_mode))
		return channel_open_serial(ch, where);
	return channel_listen(ch, where);
}

static int host_arguments(int argc, char **argv, const char **control, const char **streams)
{
	for (int i = 1; i < argc; i++) {
		const char **value = strcmp(argv[i], "--control") == 0 ? control :
				     strcmp(argv[i], "--streams") == 0 ? streams :
				     strcmp(argv[i], "--root") == 0    ? &agent.root :
									 NULL;

		if (strcmp(argv[i], "--own-uts") == 0)
			agent.own_uts = true;
		else if (value == NULL || i + 1 == argc)
			return 2;
		else
			*value = argv[++i];
	}
	return *control != NULL && *streams != NULL ? 0 : 2;
}

static void start_on_host(int argc, char **argv)
{
	const char *control = NULL, *streams = NULL;

	if (host_arguments(argc, argv, &control, &streams) != 0) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!open_host_channel(&control_channel, control))
		power_fatal(control);
	if (!open_host_channel(&streams_channel, streams))
		power_fatal(streams);
	send_control(HP_READY, NULL, 0);
}

/*
 * musl gives the pages of a size back when its last block is freed and asks for them again at the next message: two system
 * calls and a page fault for each, and in a clone under emulation all that code to translate. So one block of each size stays.
 */
static void keep_heap(void)
{
	/* volatile: a compiler leaves out blocks that nobody looks at. */
	static void *volatile kept[32];
	size_t n = 0;

	for (size_t size = 16; size <= 4096 && n < COUNT_OF(kept); size += size / 4) {
		void *volatile spare;

		kept[n++] = malloc(size);
		spare = malloc(size);
		free(spare);
	}
	/* What a frame of a stream is put together in. */
	queue_reserve(&streams_channel.out, HP_STREAM_PAYLOAD_MAX_BYTES);
}

int main(int argc, char **argv)
{
	int status;

	keep_heap();

	/* Arguments that are not ours are what the kernel did not understand of its command line. */
	agent.pid1 = getpid() == 1 && (argc < 2 || strcmp(argv[1], "--control") != 0);
	if (!loop_init() || !watch_signals())
		power_fatal("no events");
	if (agent.pid1)
		boot();
	else
		start_on_host(argc, argv);
	status = loop_run(agent_pump);
	if (agent.pid1)
		power_fatal("the event loop ended");
	processes_forget();
	return status;
}
