#include "condev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "conplace.h"
#include "util.h"

static void try_mount(int root, const char *type, const char *path, unsigned long flags, const char *data)
{
	if (!mount_in(root, type, path, type, flags, data))
		say("container: %s: errno %d", path, errno);
}

static void make_nodes(int dev)
{
	static const struct {
		const char *name;
		unsigned major, minor;
	} nodes[] = { { "null", 1, 3 },	  { "zero", 1, 5 },    { "full", 1, 7 },
		      { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
	static const char *const links[][2] = { { "pts/ptmx", "ptmx" },
						{ "/proc/self/fd", "fd" },
						{ "/proc/self/fd/0", "stdin" },
						{ "/proc/self/fd/1", "stdout" },
						{ "/proc/self/fd/2", "stderr" } };
	mode_t mask = umask(0);

	for (size_t i = 0; i < COUNT_OF(nodes); i++)
		if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			say("container: /dev/%s: errno %d", nodes[i].name, errno);
	for (size_t i = 0; i < COUNT_OF(links); i++)
		if (symlinkat(links[i][0], dev, links[i][1]) < 0)
			say("container: /dev/%s: errno %d", links[i][1], errno);
	umask(mask);
}

void condev_mount(int root)
{
	int dev;

	try_mount(root, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount(root, "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
	if (!mount_in(root, "tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k")) {
		say("container: /dev: errno %d", errno);
		return;
	}
	dev = place_in(root, "/dev", false);
	if (dev < 0)
		return;
	make_nodes(dev);
	close(dev);
	try_mount(root, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666,gid=5");
	try_mount(root, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=50%");
	try_mount(root, "mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

void condev_mask(void)
{
	static const char *const hidden[] = { "/proc/kcore",	  "/proc/keys",	       "/proc/timer_list", "/proc/sched_debug",
					      "/proc/sysrq-trigger", "/proc/kmsg",      "/proc/acpi",	   "/proc/scsi",
					      "/sys/firmware",	     "/sys/kernel/debug" };
	static const char *const read_only[] = { "/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq" };
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(hidden); i++)
		if (lstat(hidden[i], &st) == 0 &&
		    (S_ISDIR(st.st_mode) ? mount("tmpfs", hidden[i], "tmpfs", MS_RDONLY, "size=0") :
					   mount("/dev/null", hidden[i], NULL, MS_BIND, NULL)) < 0)
			say("container: %s: errno %d", hidden[i], errno);
	for (size_t i = 0; i < COUNT_OF(read_only); i++)
		if (lstat(read_only[i], &st) == 0 &&
		    (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0 ||
		     mount(NULL, read_only[i], NULL,
			   MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0))
			say("container: %s: errno %d", read_only[i], errno);
}

void condev_drop_capabilities(void)
{
	/* What concerns the kernel, its clock and its power; the network, the mounts and the devices are the pod's own. */
	static const int dropped[] = { CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT,	 CAP_SYS_TIME,	CAP_SYSLOG,
				       CAP_WAKE_ALARM, CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_AUDIT_CONTROL };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return;
	for (size_t i = 0; i < COUNT_OF(dropped); i++) {
		uint32_t keep = ~(1u << (dropped[i] % 32));

		prctl(PR_CAPBSET_DROP, dropped[i]);
		data[dropped[i] / 32].effective &= keep;
		data[dropped[i] / 32].permitted &= keep;
		data[dropped[i] / 32].inheritable &= keep;
	}
	syscall(SYS_capset, &header, data);
}
