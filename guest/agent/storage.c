#include "storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

/* Each line: what is needed, then the paths of the modules to load for it, in order. */
#define MODULES_ON_DEMAND "/etc/hyperplug/modules-on-demand"
#define POLL_MS 10

bool fs_source_read(struct fs_source *s, const struct json *doc, uint32_t node, const char *kinds, struct failure *f)
{
	struct hp_value v[HP_FileSystem_COUNT];
	char wanted[32];

	if (!json_decode(doc, node, &hp_schema_FileSystem, v, f))
		return false;
	*s = (struct fs_source){ v[HP_FileSystem_kind].string,	 v[HP_FileSystem_disk].string,
				 v[HP_FileSystem_fstype].string, v[HP_FileSystem_tag].string,
				 v[HP_FileSystem_path].string,	 (uint32_t)v[HP_FileSystem_sizeMib].number };
	if (!format_into(wanted, sizeof(wanted), " %s ", s->kind) || strstr(kinds, wanted) == NULL)
		return fail(f, HP_E_INVALID, 0, "kind", "expected one of%s, got \"%.32s\"", kinds, s->kind);
	if (strcmp(s->kind, "disk") == 0 && (s->disk == NULL || s->type == NULL || *s->disk == 0 || *s->type == 0))
		return fail(f, HP_E_INVALID, 0, "disk", "a disk has a serial and a type of file system");
	if (strcmp(s->kind, "share") == 0 && (s->tag == NULL || *s->tag == 0))
		return fail(f, HP_E_INVALID, 0, "tag", "a share has a tag");
	if (strcmp(s->kind, "directory") == 0 && (s->path == NULL || *s->path != '/'))
		return fail(f, HP_E_INVALID, 0, "path", "expected an absolute path");
	return true;
}

bool make_dirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (!format_into(part, sizeof(part), "%s", path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (char *p = part + 1; *p != 0; p++)
		if (*p == '/') {
			*p = 0;
			if (mkdir(part, 0755) < 0 && errno != EEXIST)
				return false;
			*p = '/';
		}
	return mkdir(part, mode) == 0 || errno == EEXIST;
}

/* ---- modules ---- */

void module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		say("module %s cannot be read: errno %d (%s)", path, errno, strerror(errno));
		return;
	}
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) /* ENOENT: it needs one that is not loaded */
		say("module %s is refused: errno %d (%s)", path, errno, strerror(errno));
	close(fd);
}

void module_need(const char *name)
{
	static char list[16384];
	char *rest = list, *line, *word;

	if (!agent.pid1 || !file_peek(MODULES_ON_DEMAND, list, sizeof(list)))
		return;
	while ((line = strsep(&rest, "\n")) != NULL) {
		word = strsep(&line, " ");
		if (word == NULL || strcmp(word, name) != 0)
			continue;
		while ((word = strsep(&line, " ")) != NULL)
			module_load(word);
		return;
	}
}

/* ---- where things are ---- */

bool command_line_value(const char *name, unsigned nth, char *value, size_t size)
{
	char text[4096], *word, *rest = text;
	size_t n = strlen(name);

	if (!file_peek("/proc/cmdline", text, sizeof(text)))
		return false;
	while ((word = strsep(&rest, " \n")) != NULL)
		if (strncmp(word, name, n) == 0 && (word[n] == '=' || word[n] == 0) && nth-- == 0)
			return format_into(value, size, "%s", word[n] == '=' ? word + n + 1 : "");
	return false;
}

/* `hyper_disk=SERIAL:NAME`: what the hypervisor says of disks without serials. */
static bool disk_of_command_line(const char *serial, char *device, size_t size)
{
	size_t n = strlen(serial);
	char value[256];

	for (unsigned i = 0; command_line_value("hyper_disk", i, value, sizeof(value)); i++)
		if (strncmp(value, serial, n) == 0 && value[n] == ':' && strchr(value + n + 1, '/') == NULL)
			return format_into(device, size, "/dev/%s", value + n + 1);
	return false;
}

static bool disk_of_sysfs(const char *serial, char *device, size_t size)
{
	struct dirent *entry;
	bool found = false;
	DIR *d = opendir("/sys/block");

	while (d != NULL && !found && (entry = readdir(d)) != NULL) {
		char path[PATH_MAX], has[64];

		if (entry->d_name[0] == '.' || !format_into(path, sizeof(path), "/sys/block/%s/serial", entry->d_name) ||
		    !file_peek(path, has, sizeof(has)))
			continue;
		has[strcspn(has, "\n")] = 0;
		found = strcmp(has, serial) == 0 && format_into(device, size, "/dev/%s", entry->d_name);
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static bool find_disk(const char *serial, char *device, size_t size, struct failure *f)
{
	uint64_t until = now_ms() + HP_DEVICE_WAIT_MS;
	bool named = disk_of_command_line(serial, device, size);

	if (!named)
		module_need("virtio_blk");
	for (;;) {
		struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };

		if ((named || disk_of_sysfs(serial, device, size)) && access(device, F_OK) == 0)
			return true;
		if (now_ms() >= until)
			return fail(f, HP_E_NOT_FOUND, 0, "disk", "no disk %.64s has appeared", serial);
		nanosleep(&pause, NULL);
	}
}

/* The superblock is shared by all who mount the disk: whether it can be written to is the disk's own to say. */
static bool disk_is_read_only(const char *device)
{
	char path[PATH_MAX], value[8];

	return format_into(path, sizeof(path), "/sys/block/%s/ro", device + strlen("/dev/")) &&
	       file_peek(path, value, sizeof(value)) && value[0] == '1';
}

/* ---- mounting ---- */

bool fs_read_only(const char *target, struct failure *f)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	/* With what is mounted below it. */
	return syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attr, sizeof(attr)) == 0 ||
	       fail(f, HP_E_KERNEL, errno, "readOnly", "%.200s", target);
}

static bool mount_disk(const struct fs_source *s, const char *target, struct failure *f)
{
	char device[PATH_MAX];
	unsigned long flags = MS_NODEV;

	if (!find_disk(s->disk, device, sizeof(device), f))
		return false;
	module_need(s->type);
	if (disk_is_read_only(device))
		flags |= MS_RDONLY;
	if (mount(device, target, s->type, flags, NULL) == 0)
		return true;
	/* A journal cannot be replayed on a disk that cannot be written to. */
	if ((flags & MS_RDONLY) && errno == EROFS && mount(device, target, s->type, flags, "noload") == 0)
		return true;
	return fail(f, errno == ENODEV ? HP_E_INVALID : HP_E_KERNEL, errno, "disk", "mounting %.64s as %.32s", s->disk,
		    s->type);
}

static bool mount_share(const struct fs_source *s, const char *target, struct failure *f)
{
	char value[1024], *type, *source, *options;
	size_t n = strlen(s->tag);

	for (unsigned i = 0; command_line_value("hyper_share", i, value, sizeof(value)); i++) {
		if (strncmp(value, s->tag, n) != 0 || value[n] != ':')
			continue;
		options = value + n + 1;
		type = strsep(&options, ":");
		source = strsep(&options, ":");
		if (source == NULL)
			return fail(f, HP_E_KERNEL, EINVAL, "tag", "hyper_share of %.64s", s->tag);
		module_need(type);
		return mount(source, target, type, MS_NODEV, options) == 0 ||
		       fail(f, HP_E_KERNEL, errno, "tag", "mounting %.64s as %.32s", s->tag, type);
	}
	module_need("virtiofs");
	return mount(s->tag, target, "virtiofs", MS_NODEV, NULL) == 0 ||
	       fail(f, errno == EINVAL ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "tag", "mounting %.64s", s->tag);
}

bool fs_mount(const struct fs_source *s, const char *target, bool read_only, struct failure *f)
{
	char options[64] = "mode=0755";

	if (strcmp(s->kind, "disk") == 0) {
		if (!mount_disk(s, target, f))
			return false;
	} else if (strcmp(s->kind, "share") == 0) {
		if (!mount_share(s, target, f))
			return false;
	} else if (strcmp(s->kind, "tmpfs") == 0) {
		if (s->size_mib > 0)
			snprintf(options, sizeof(options), "mode=0755,size=%um", s->size_mib);
		if (mount("tmpfs", target, "tmpfs", MS_NODEV, options) < 0)
			return fail(f, HP_E_KERNEL, errno, NULL, "a tmpfs on %.200s", target);
	} else if (mount(s->path, target, NULL, MS_BIND | MS_REC, NULL) < 0) {
		return fail(f, errno == ENOENT ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "path", "%.200s on %.200s", s->path,
			    target);
	}
	if (!read_only || fs_read_only(target, f))
		return true;
	umount2(target, MNT_DETACH);
	return false;
}
