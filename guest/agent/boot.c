#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "files.h"
#include "net.h"
#include "power.h"
#include "storage.h"
#include "sys.h"

#define MODULES_FILE "/etc/hyperplug/modules"
#define PORTS_DIR "/sys/class/virtio-ports"
#define CONSOLE_MODULE "virtio_console"
#define STILL_WAITING_MS 10000
#define AGENT_NICE (-15)

static pid_t module_child;
static struct source uevents = { .fd = -1 };
static struct timer still_waiting;

static void mount_one(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	if (mount(source, target, type, flags, data) == 0)
		return;
	if (errno == ENOENT && mkdir(target, 0755) == 0 && mount(source, target, type, flags, data) == 0)
		return;
	if (errno != EBUSY) /* mounted already: CONFIG_DEVTMPFS_MOUNT, or an initramfs that did it */
		say("mounting %s: %s", target, strerror(errno));
}

static void mount_all(void)
{
	mount_one("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_one("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_one("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	mount_one("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5");
	mount_one("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_one("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
}

/* What programs expect and no one needs before READY. */
static void mount_the_rest(void)
{
	mount_one("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_one("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("/proc/self/fd/0", "/dev/stdin") < 0 ||
	    symlink("/proc/self/fd/1", "/dev/stdout") < 0 || symlink("/proc/self/fd/2", "/dev/stderr") < 0)
		return; /* there already */
}

/*
 * The kernel's own helpers: for each device that comes, and each module that it would like to have, it starts a program. The
 * one is not there, the other finds nothing (what there is of modules we load), and a program costs some 100 ms where its
 * pages are faulted in by User Mode Linux or by emulation.
 */
static void no_helpers(void)
{
	file_poke("/proc/sys/kernel/hotplug", "\n");
	file_poke("/proc/sys/kernel/modprobe", "\n");
}

/* 0, 1 and 2 must be taken, or a channel might become one of them and be written to by say(). */
static void open_console(void)
{
	int null = open("/dev/null", O_RDWR), console = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK);

	if (console < 0)
		console = null;
	if (null >= 0)
		dup2(null, 0);
	if (console >= 0) {
		dup2(console, 1);
		dup2(console, 2);
	}
	if (null > 2)
		close(null);
	if (console > 2 && console != null)
		close(console);
}

/* ---- modules ---- */

/* The image has one kernel's modules, and may be booted by another, which would refuse each of them. */
static bool of_this_kernel(const char *path)
{
	static const char folder[] = "/lib/modules/";
	const char *release = strstr(path, folder);
	struct utsname uts;
	size_t n;

	if (release == NULL || uname(&uts) < 0)
		return true;
	release += sizeof(folder) - 1;
	n = strlen(uts.release);
	return strncmp(release, uts.release, n) == 0 && release[n] == '/';
}

/*
 * Loads the modules up to virtio_console, so that READY comes soon, and the rest in a child that gets out of the way until
 * then. The list's order is kept: dependencies stand before what needs them.
 */
static void load_modules(void)
{
	static char list[16384];
	char *rest = list, *line;
	bool in_child = false;

	if (!file_peek(MODULES_FILE, list, sizeof(list)))
		return; /* a kernel with all built in */
	while ((line = strsep(&rest, "\r\n")) != NULL) {
		if (line[0] == 0 || line[0] == '#' || !of_this_kernel(line))
			continue;
		module_load(line);
		if (in_child || strstr(line, CONSOLE_MODULE) == NULL)
			continue;
		module_child = fork();
		if (module_child > 0)
			return;
		in_child = module_child == 0;
		if (in_child)
			setpriority(PRIO_PROCESS, 0, 19);
	}
	if (in_child)
		_exit(0);
}

void (*boot_on_settled)(void);

bool boot_settled(void)
{
	return module_child <= 0;
}

void boot_child_ended(pid_t pid)
{
	if (pid != module_child)
		return;
	module_child = 0;
	if (boot_on_settled != NULL)
		boot_on_settled();
}

/* ---- channels ---- */

static bool port_is(const char *port, const char *wanted)
{
	char path[PATH_MAX], name[64];

	if (!format_into(path, sizeof(path), PORTS_DIR "/%s/name", port) || !file_peek(path, name, sizeof(name)))
		return false;
	name[strcspn(name, "\n")] = 0;
	return strcmp(name, wanted) == 0;
}

static void try_port(struct channel *ch, const char *port, const char *wanted)
{
	char path[PATH_MAX];

	if (ch->src.fd < 0 && port_is(port, wanted) && format_into(path, sizeof(path), "/dev/%s", port) &&
	    !channel_open_port(ch, path))
		say("%s: %s", path, strerror(errno));
}

static void find_ports(void)
{
	struct dirent *entry;
	DIR *d = opendir(PORTS_DIR);

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		try_port(&control_channel, entry->d_name, HP_CHANNEL_CONTROL);
		try_port(&streams_channel, entry->d_name, HP_CHANNEL_STREAMS);
	}
	closedir(d);
}

static void ready_if_open(void)
{
	if (control_channel.src.fd < 0 || streams_channel.src.fd < 0)
		return;
	loop_close(&uevents);
	timer_clear(&still_waiting);
	send_control(HP_READY, NULL, 0);
	agent_pump();
	if (module_child > 0)
		setpriority(PRIO_PROCESS, (id_t)module_child, 0);
	/* Nobody waits for these. They are done before the first command is read. */
	net_loopback_up();
	mount_the_rest();
	power_button_listen();
}

static void uevent_ready(struct source *s, uint32_t events)
{
	char buffer[4096];
	bool ours = false;
	ssize_t n;

	(void)events;
	while ((n = sys_netlink_recv(s->fd, buffer, sizeof(buffer) - 1)) >= 0 || errno == ENOBUFS) {
		if (n > (ssize_t)sizeof(buffer) - 1)
			n = (ssize_t)sizeof(buffer) - 1;
		buffer[n > 0 ? n : 0] = 0;
		/* `add@/devices/…/virtio-ports/vport1p1`; after an overrun anything may have happened. */
		ours = ours || n < 0 || strstr(buffer, "virtio-ports") != NULL;
	}
	if (ours) {
		find_ports();
		ready_if_open();
	}
}

static void tell_waiting(struct timer *t)
{
	(void)t;
	say("still waiting for the virtio ports " HP_CHANNEL_CONTROL " and " HP_CHANNEL_STREAMS);
}

static bool open_serial_lines(void)
{
	char value[128] = "", path[160], *comma;
	const char *lines[2] = { "ttyS0", "ttyS1" };

	if (!command_line_value("hyper_use_serial", 0, value, sizeof(value)))
		return false;
	if (command_line_value("hyper_serial", 0, value, sizeof(value)) && (comma = strchr(value, ',')) != NULL) {
		*comma = 0;
		lines[0] = value;
		lines[1] = comma + 1;
	}
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/dev/%s", lines[i]);
		if (!channel_open_serial(i == 0 ? &control_channel : &streams_channel, path))
			power_fatal(path);
	}
	return true;
}

void boot(void)
{
	struct rlimit files = { 65536, 65536 };
	int fd;

	power_catch_crashes();
	/* Ctrl-Alt-Del, User Mode Linux's power button, is then a SIGINT to us instead of a reset. */
	sys_reboot(RB_DISABLE_CAD);
	umask(022);
	/* What runs in the guest does not keep the host waiting; programs are started with the usual priority. */
	setpriority(PRIO_PROCESS, 0, AGENT_NICE);
	mount_all();
	no_helpers();
	open_console();
	setrlimit(RLIMIT_NOFILE, &files);
	agent.root = "";
	agent.own_uts = true;
	/* Before the modules: what they announce is then not missed. */
	fd = sys_netlink_open(NETLINK_KOBJECT_UEVENT, 1);
	uevents.ready = uevent_ready;
	if (fd < 0 || !loop_watch(&uevents, fd))
		power_fatal("no uevents");
	load_modules();
	if (!open_serial_lines()) {
		find_ports();
		still_waiting.fire = tell_waiting;
		timer_set(&still_waiting, STILL_WAITING_MS);
	}
	ready_if_open();
}
