#include "conroot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

bool conroot_read(struct conroot *root, const struct hp_value *v, struct failure *f)
{
	const char *image = v[HP_Container_image].present ? v[HP_Container_image].string : "";
	const char *below = v[HP_Container_rootfs].present ? v[HP_Container_rootfs].string : "";
	struct stat st;

	if (v[HP_Container_fstype].present && *v[HP_Container_fstype].string != 0)
		return fail(f, HP_E_INVALID, 0, "fstype", "only a directory can be a root, not a block device");
	if (v[HP_Container_volumes].node != 0 && root->doc->nodes[v[HP_Container_volumes].node].count > 0)
		return fail(f, HP_E_INVALID, 0, "volumes", "block devices are not mounted; directories are, by fsmap");
	if (*image == 0 && *below != '/')
		return fail(f, HP_E_INVALID, 0, "image", "no directory is named");
	if (*below == '/' && *image == 0 ? !format_into(root->path, sizeof(root->path), "%s", below) :
		    !format_into(root->path, sizeof(root->path), "%s%s%s%s", *image == '/' ? "" : SHARE_POINT "/", image,
				 *below != 0 ? "/" : "", below))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "image", "path");
	if (stat(root->path, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(f, HP_E_NOT_FOUND, 0, "image", "%.200s is no directory", root->path);
	root->read_only = v[HP_Container_readOnly].number != 0;
	root->fsmap = v[HP_Container_fsmap].node;
	root->sysctl = v[HP_Container_sysctl].node;
	if (root->sysctl != 0 && root->doc->nodes[root->sysctl].type != JSON_OBJECT)
		return fail(f, HP_E_INVALID, 0, "sysctl", "expected an object");
	return true;
}

/* The agent's descriptors are no business of the container's. */
static void close_others(int *keep)
{
	if (*keep != 3 && dup2(*keep, 3) == 3)
		*keep = 3;
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 4u, ~0u, 0u) == 0)
		return;
#endif
	for (int fd = 4; fd < 4096; fd++)
		close(fd);
}

static bool make_dirs(char *path)
{
	for (char *p = path + 1; *p != 0; p++)
		if (*p == '/') {
			*p = 0;
			if (mkdir(path, 0755) < 0 && errno != EEXIST) {
				*p = '/';
				return false;
			}
			*p = '/';
		}
	return mkdir(path, 0755) == 0 || errno == EEXIST;
}

static bool bind_one(const struct conroot *root, uint32_t node, struct failure *f)
{
	struct hp_value v[HP_FsMap_COUNT];
	char from[PATH_MAX], to[PATH_MAX];
	const char *source;

	if (!json_decode(root->doc, node, &hp_schema_FsMap, v, f))
		return false;
	source = v[HP_FsMap_source].string;
	if (!format_into(from, sizeof(from), "%s%s", *source == '/' ? "" : SHARE_POINT "/", source) ||
	    !format_into(to, sizeof(to), "%s/%s", root->path, v[HP_FsMap_path].string))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "fsmap", "path");
	if (!make_dirs(to) || mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, "fsmap", "%.100s on %.100s", from, v[HP_FsMap_path].string);
	if (v[HP_FsMap_readOnly].number != 0 && mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, "fsmap", "%.100s read-only", v[HP_FsMap_path].string);
	return true;
}

/* Relative to the root, which is the current directory. A read-only image may lack the directories: then it does without. */
static void mount_in(const char *type, const char *target, unsigned long flags, const char *data)
{
	if ((mkdir(target, 0755) < 0 && errno != EEXIST) || mount(type, target, type, flags, data) < 0)
		say("container: %s: errno %d", target, errno);
}

static void make_dev(void)
{
	static const struct {
		const char *path;
		unsigned minor_number;
	} nodes[] = { { "dev/null", 3 }, { "dev/zero", 5 }, { "dev/full", 7 }, { "dev/random", 8 }, { "dev/urandom", 9 } };
	mode_t mask = umask(0);

	mount_in("tmpfs", "dev", MS_NOSUID, "mode=0755");
	for (size_t i = 0; i < COUNT_OF(nodes); i++)
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(1, nodes[i].minor_number)) < 0)
			say("container: %s: errno %d", nodes[i].path, errno);
	if (mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)) < 0 || symlink("pts/ptmx", "dev/ptmx") < 0 ||
	    symlink("/proc/self/fd", "dev/fd") < 0 || symlink("/proc/self/fd/0", "dev/stdin") < 0 ||
	    symlink("/proc/self/fd/1", "dev/stdout") < 0 || symlink("/proc/self/fd/2", "dev/stderr") < 0)
		say("container: dev: errno %d", errno);
	umask(mask);
	mount_in("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666");
	mount_in("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
}

static bool set_sysctls(const struct conroot *root, struct failure *f)
{
	JSON_EACH(root->doc, root->sysctl, n) {
		const struct json_node *node = &root->doc->nodes[n];
		char path[256];

		if (node->type != JSON_STRING || strchr(node->key, '/') != NULL || strstr(node->key, "..") != NULL ||
		    !format_into(path, sizeof(path), "/proc/sys/%s", node->key))
			return fail(f, HP_E_INVALID, 0, "sysctl", "%.64s", node->key);
		for (char *p = path + strlen("/proc/sys/"); *p != 0; p++)
			if (*p == '.')
				*p = '/';
		if (!file_poke(path, node->string))
			return fail(f, HP_E_KERNEL, errno, "sysctl", "%.64s", node->key);
	}
	return true;
}

bool conroot_enter(const struct conroot *root, int *keep, struct failure *f)
{
	close_others(keep);
	/* Nothing of what is mounted here shall be seen outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(root->path, root->path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, "image", "mounting %.200s", root->path);
	JSON_EACH(root->doc, root->fsmap, n)
		if (!bind_one(root, n, f))
			return false;
	if (chdir(root->path) < 0)
		return fail(f, HP_E_KERNEL, errno, "image", "%.200s", root->path);
	mount_in("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_in("sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	make_dev();
	if (root->read_only && mount(NULL, root->path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, "readOnly", "%.200s", root->path);
	/* pivot_root() refuses the initramfs; moving the mount over the root does what it would. */
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return fail(f, HP_E_KERNEL, errno, "image", "changing the root");
	return set_sysctls(root, f);
}

void conroot_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}
