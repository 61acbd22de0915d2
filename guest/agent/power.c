#include "power.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "container.h"
#include "netlink.h"
#include "process.h"
#include "sys.h"

#define TERM_MS 1000
#define KILL_MS 1000
#define FLUSH_MS 2000
#define STEP_MS 10

static enum { RUNNING, TERMINATING, KILLING, FLUSHING } stage;
static uint64_t stage_until;
static struct timer stage_timer;
static struct source button = { .fd = -1 };
static uint16_t acpi_family;

static void signal_all(int signal)
{
	if (agent.pid1) {
		sys_kill(-1, signal);
		return;
	}
	for (struct process *p = processes; p != NULL; p = p->next)
		if (!p->reaped)
			process_signal(p, signal);
}

static noreturn void machine_off(void)
{
	sys_sync();
	sys_reboot(RB_POWER_OFF);
	/* Only a machine that cannot be switched off comes here; -no-reboot makes a reboot an end, too. */
	sys_reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static bool children_left(void)
{
	siginfo_t info;

	processes_reap();
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void advance(struct timer *t)
{
	bool late = now_ms() >= stage_until;
	bool children = stage != FLUSHING && children_left();

	/* The first processes of containers only wait for others; with those gone they would be waited for in vain. */
	if (stage != FLUSHING && process_count() == 0)
		containers_kill();

	if (stage == TERMINATING && children && late) {
		signal_all(SIGKILL);
		stage = KILLING;
		stage_until = now_ms() + KILL_MS;
	} else if (stage != FLUSHING && (!children || (stage == KILLING && late))) {
		stage = FLUSHING;
		stage_until = now_ms() + FLUSH_MS;
	}
	if (stage == FLUSHING) {
		channel_flush(&control_channel);
		if (control_channel.out.len == 0 || now_ms() >= stage_until) {
			channel_drain(&control_channel);
			if (agent.pid1)
				machine_off();
			loop_quit(0);
			return;
		}
	}
	timer_set(t, STEP_MS);
}

void power_children_gone(void)
{
	if (stage != RUNNING && stage != FLUSHING)
		timer_set(&stage_timer, 0);
}

void power_off(const char *why)
{
	if (stage != RUNNING)
		return;
	if (agent.pid1)
		say("powering off: %s", why);
	agent.stopping = true;
	stage = TERMINATING;
	stage_until = now_ms() + TERM_MS;
	signal_all(SIGTERM);
	stage_timer.fire = advance;
	timer_set(&stage_timer, 0);
}

noreturn void power_fatal(const char *why)
{
	say("fatal: %s", why);
	if (agent.pid1)
		machine_off();
	_exit(1);
}

static void crashed(int signal)
{
	char text[] = "hyperplug-agent: fatal: signal 00\n";

	/* A child between fork and execve, which ends as any program: the handler has been taken back (SA_RESETHAND). */
	if (getpid() != 1) {
		raise(signal);
		return;
	}
	text[sizeof(text) - 4] = (char)('0' + signal / 10);
	text[sizeof(text) - 3] = (char)('0' + signal % 10);
	if (write(2, text, sizeof(text) - 1) >= 0 || signal != 0)
		reboot(RB_POWER_OFF);
	_exit(1);
}

void power_catch_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction action = { .sa_handler = crashed, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* ---- the power button: events of the generic netlink family acpi_event (drivers/acpi/event.c) ---- */

struct acpi_event {
	char device_class[20];
	char bus_id[15];
	uint32_t type, data;
};

static void button_ready(struct source *s, uint32_t events)
{
	uint8_t buffer[4096];
	ssize_t n;

	(void)events;
	while ((n = sys_netlink_recv(s->fd, buffer, sizeof(buffer))) > 0) {
		const struct nlmsghdr *h = (const void *)buffer;
		size_t at = NLMSG_LENGTH(GENL_HDRLEN);
		const char *class;

		if ((size_t)n < at + NLA_HDRLEN + sizeof(((struct acpi_event *)0)->device_class) ||
		    (size_t)n > sizeof(buffer) || h->nlmsg_type != acpi_family)
			continue;
		class = (const char *)buffer + at + NLA_HDRLEN;
		if (memchr(class, 0, 20) != NULL && strcmp(class, "button/power") == 0)
			power_off("the power button was pressed");
	}
}

/* The ids of the family and of its (first) multicast group. */
static bool find_family(uint16_t *family, uint32_t *group)
{
	static const char name[] = "acpi_event";
	struct nl_message m;
	struct failure f;

	nl_start(&m, GENL_ID_CTRL, 0, &(struct genlmsghdr){ .cmd = CTRL_CMD_GETFAMILY, .version = 1 }, GENL_HDRLEN);
	nl_attr(&m, CTRL_ATTR_FAMILY_NAME, name, sizeof(name));
	return nl_genl_family(&m, family, group, &f);
}

void power_button_listen(void)
{
	uint32_t group;
	int fd;

	if (!find_family(&acpi_family, &group) || group == 0)
		return; /* a machine without ACPI */
	fd = sys_netlink_open(NETLINK_GENERIC, group);
	button.ready = button_ready;
	if (fd >= 0 && !loop_watch(&button, fd))
		close(fd);
}
