#include "conroot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "condev.h"
#include "conplace.h"
#include "files.h"
#include "sys.h"

/* Below the agent's root; in the container's mount namespace a tmpfs lies on it, with what the root is made of. */
#define WORKSPACE "/run/hyperplug"

static bool read_original(struct conroot *root, const struct hp_value *v, struct failure *f)
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
	root->base = (struct fs_source){ .kind = "directory", .path = root->path };
	root->layer.kind = "direct";
	root->read_only = v[HP_Container_readOnly].number != 0;
	root->fsmap = v[HP_Container_fsmap].node;
	return true;
}

static bool check_mounts(const struct conroot *root, struct failure *f)
{
	unsigned count = 0;

	JSON_EACH(root->doc, root->mounts, n) {
		struct hp_value v[HP_Mount_COUNT];
		struct fs_source source;

		if (++count > HP_MOUNTS_MAX)
			return fail(f, HP_E_LIMIT, 0, "mounts", "at most %u", HP_MOUNTS_MAX);
		if (!json_decode(root->doc, n, &hp_schema_Mount, v, f) ||
		    !fs_source_read(&source, root->doc, v[HP_Mount_source].node, " disk share directory tmpfs ", f))
			return false;
		if (*v[HP_Mount_path].string != '/' || strspn(v[HP_Mount_path].string, "/") == strlen(v[HP_Mount_path].string))
			return fail(f, HP_E_INVALID, 0, "mounts", "expected an absolute path below /, got \"%.64s\"",
				    v[HP_Mount_path].string);
	}
	return true;
}

bool conroot_read(struct conroot *root, const struct hp_value *v, struct failure *f)
{
	if (agent.root == NULL)
		return fail(f, HP_E_KERNEL, EPERM, NULL, "the agent runs on a host, without --root");
	root->id = v[HP_Container_id].string;
	root->mounts = v[HP_Container_mounts].node;
	root->sysctl = v[HP_Container_sysctl].node;
	root->hostname = v[HP_Container_hostname].present ? v[HP_Container_hostname].string : NULL;
	if (root->hostname != NULL && (*root->hostname == 0 || strlen(root->hostname) > 64))
		return fail(f, HP_E_INVALID, 0, "hostname", "expected 1 to 64 characters");
	if (root->sysctl != 0 && root->doc->nodes[root->sysctl].type != JSON_OBJECT)
		return fail(f, HP_E_INVALID, 0, "sysctl", "expected an object");
	if (!check_mounts(root, f))
		return false;
	if (!v[HP_Container_root].present)
		return read_original(root, v, f);
	root->pod_etc = !v[HP_Container_podEtc].present || v[HP_Container_podEtc].number != 0;
	if (!fs_source_read(&root->base, root->doc, v[HP_Container_root].node, " disk share directory ", f))
		return false;
	if (v[HP_Container_layer].present)
		return fs_source_read(&root->layer, root->doc, v[HP_Container_layer].node, " read-only direct tmpfs disk ", f);
	root->layer.kind = "tmpfs";
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

/* ---- the root ---- */

static bool mount_layer(const struct conroot *root, struct failure *f)
{
	bool disk = strcmp(root->layer.kind, "disk") == 0;
	struct fs_source tmpfs = { .kind = "tmpfs", .size_mib = root->layer.size_mib };
	char upper[256], options[640];

	if (!fs_mount(disk ? &root->layer : &tmpfs, "layer", false, f))
		return false;
	/* By container, since several may have theirs on one disk. */
	if (!format_into(upper, sizeof(upper), "layer/%s/upper", root->id) || !make_dirs(upper, 0755) ||
	    !format_into(upper, sizeof(upper), "layer/%s/work", root->id) || !make_dirs(upper, 0755))
		return fail(f, HP_E_KERNEL, errno, "layer", "a directory of the layer");
	module_need("overlay");
	if (!format_into(options, sizeof(options), "lowerdir=base,upperdir=layer/%s/upper,workdir=layer/%s/work", root->id,
			 root->id))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "id", "layer");
	return mount("overlay", "root", "overlay", 0, options) == 0 ||
	       fail(f, HP_E_KERNEL, errno, "layer", "overlay");
}

/* Relative to the workspace, which is the current directory. */
static bool mount_root(const struct conroot *root, struct failure *f)
{
	static const char *const places[] = { "base", "layer", "root", "etc" };
	bool direct = strcmp(root->layer.kind, "direct") == 0;

	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (mkdir(places[i], 0755) < 0)
			return fail(f, HP_E_KERNEL, errno, NULL, "a directory of the workspace");
	if (!fs_mount(&root->base, direct ? "root" : "base", false, f))
		return false;
	return direct || mount_layer(root, f);
}

static bool mount_volume(const struct conroot *root, int fd, uint32_t node, struct failure *f)
{
	struct hp_value v[HP_Mount_COUNT];
	struct fs_source source;
	struct stat st;
	bool file, ok;
	int at;

	if (!json_decode(root->doc, node, &hp_schema_Mount, v, f) ||
	    !fs_source_read(&source, root->doc, v[HP_Mount_source].node, " disk share directory tmpfs ", f))
		return false;
	file = strcmp(source.kind, "directory") == 0 && stat(source.path, &st) == 0 && !S_ISDIR(st.st_mode);
	at = place_in(fd, v[HP_Mount_path].string, file);
	if (at < 0)
		return fail(f, HP_E_KERNEL, errno, "mounts", "%.100s", v[HP_Mount_path].string);
	ok = fs_mount(&source, place_name(at).path, false, f);
	close(at);
	if (!ok || v[HP_Mount_readOnly].number == 0)
		return ok;
	/* Opened anew: `at` is what lies below the mount. */
	at = place_in(fd, v[HP_Mount_path].string, file);
	if (at < 0)
		return fail(f, HP_E_KERNEL, errno, "mounts", "%.100s", v[HP_Mount_path].string);
	ok = fs_read_only(place_name(at).path, f);
	close(at);
	return ok;
}

static bool bind_original(const struct conroot *root, int fd, uint32_t node, struct failure *f)
{
	struct hp_value v[HP_FsMap_COUNT];
	char from[PATH_MAX];
	const char *source;
	int at;
	bool ok;

	if (!json_decode(root->doc, node, &hp_schema_FsMap, v, f))
		return false;
	source = v[HP_FsMap_source].string;
	if (!format_into(from, sizeof(from), "%s%s", *source == '/' ? "" : SHARE_POINT "/", source))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "fsmap", "path");
	if (!mount_in(fd, from, v[HP_FsMap_path].string, NULL, MS_BIND | MS_REC, NULL))
		return fail(f, HP_E_KERNEL, errno, "fsmap", "%.100s on %.100s", from, v[HP_FsMap_path].string);
	if (v[HP_FsMap_readOnly].number == 0)
		return true;
	at = place_in(fd, v[HP_FsMap_path].string, false);
	ok = at >= 0 ? fs_read_only(place_name(at).path, f) : fail(f, HP_E_KERNEL, errno, "fsmap", "read-only");
	if (at >= 0)
		close(at);
	return ok;
}

/* ---- /etc of the pod ---- */

static bool copy_etc(const char *name, const char *more, struct failure *f)
{
	char from[PATH_MAX], to[64], text[65536];
	struct writer w = { 0 };
	bool ok;

	/* A pod without such a file is one whose STARTPOD has not come. */
	if (!format_into(from, sizeof(from), "%s/etc/%s", agent.root, name) || !file_peek(from, text, sizeof(text)))
		text[0] = 0;
	snprintf(to, sizeof(to), "etc/%s", name);
	if (!queue_put(&w.q, text, strlen(text)) || !queue_put(&w.q, more, strlen(more)))
		ok = fail(f, HP_E_LIMIT, ENOMEM, NULL, "%s", name);
	else
		ok = file_replace(to, w.q.len > 0 ? queue_head(&w.q) : (const uint8_t *)"", w.q.len, 0644, f);
	queue_free(&w.q);
	return ok;
}

static bool pod_etc(const struct conroot *root, int fd, struct failure *f)
{
	static const char *const names[] = { "hosts", "resolv.conf", "hostname" };
	char own[160] = "";

	if (root->hostname != NULL) {
		snprintf(own, sizeof(own), "%s\n", root->hostname);
		if (!file_replace("etc/hostname", own, strlen(own), 0644, f))
			return false;
		snprintf(own, sizeof(own), "127.0.1.1\t%s\n", root->hostname);
	} else if (!copy_etc("hostname", "", f)) {
		return false;
	}
	if (!copy_etc("hosts", own, f) || !copy_etc("resolv.conf", "", f))
		return false;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char from[64], to[64];
		int at;

		snprintf(from, sizeof(from), "etc/%s", names[i]);
		snprintf(to, sizeof(to), "/etc/%s", names[i]);
		at = place_in(fd, to, true);
		/* A root without /etc that cannot be written to does without. */
		if (at >= 0 && mount(from, place_name(at).path, NULL, MS_BIND, NULL) < 0) {
			close(at);
			return fail(f, HP_E_KERNEL, errno, "podEtc", "%s", to);
		}
		if (at >= 0)
			close(at);
	}
	return true;
}

static bool set_sysctls(const struct conroot *root, struct failure *f)
{
	JSON_EACH(root->doc, root->sysctl, n) {
		const struct json_node *node = &root->doc->nodes[n];
		char path[256];

		if (node->type != JSON_STRING || strstr(node->key, "..") != NULL || *node->key == '/' ||
		    !format_into(path, sizeof(path), "/proc/sys/%s", node->key))
			return fail(f, HP_E_INVALID, 0, "sysctl", "%.64s", node->key);
		if (strchr(node->key, '/') == NULL)
			for (char *p = path + strlen("/proc/sys/"); *p != 0; p++)
				if (*p == '.')
					*p = '/';
		if (!file_poke(path, node->string))
			return fail(f, HP_E_KERNEL, errno, "sysctl", "%.64s", node->key);
	}
	return true;
}

/* ---- putting it together ---- */

static char mounts_before[65536];

/* In the root of before, which is the current directory: what the container could come by no other way than out of its root. */
static void unmount_all_below(void)
{
	char *targets[512], *rest = mounts_before, *line;
	size_t count = 0;

	while (count < COUNT_OF(targets) && (line = strsep(&rest, "\n")) != NULL) {
		strsep(&line, " ");
		targets[count] = line != NULL ? strsep(&line, " ") : NULL;
		if (targets[count] != NULL && targets[count][0] == '/' && targets[count][1] != 0)
			count++;
	}
	while (count-- > 0)
		umount2(targets[count] + 1, MNT_DETACH);
}

static bool move_over_root(struct failure *f)
{
	int before = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool ok = before >= 0 && root >= 0 && file_peek("/proc/self/mounts", mounts_before, sizeof(mounts_before)) &&
		  mount(".", "/", NULL, MS_MOVE, NULL) == 0 && fchdir(before) == 0;

	if (ok)
		unmount_all_below();
	ok = ok && fchdir(root) == 0 && chroot(".") == 0;
	if (!ok)
		fail(f, HP_E_KERNEL, errno, "root", "changing the root");
	close(before);
	close(root);
	return ok;
}

static bool change_root(struct failure *f)
{
	if (chdir("root") < 0)
		return fail(f, HP_E_KERNEL, errno, "root", "its directory");
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		/* The initramfs cannot be pivoted away from: moving the mount over it does what that would. */
		if (!move_over_root(f))
			return false;
	} else if (umount2(".", MNT_DETACH) < 0) {
		return fail(f, HP_E_KERNEL, errno, "root", "the root before");
	}
	return chdir("/") == 0 || fail(f, HP_E_KERNEL, errno, "root", "its directory");
}

static bool enter_workspace(struct failure *f)
{
	char workspace[PATH_MAX];

	/* Nothing of what is mounted here shall be seen outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "private mounts");
	if (!format_into(workspace, sizeof(workspace), "%s" WORKSPACE, agent.root) || !make_dirs(workspace, 0700) ||
	    mount("tmpfs", workspace, "tmpfs", MS_NODEV, "mode=0755,size=16m") < 0 || chdir(workspace) < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "the workspace");
	return true;
}

bool conroot_enter(const struct conroot *root, int *keep, struct failure *f)
{
	bool read_only = root->read_only || strcmp(root->layer.kind, "read-only") == 0;
	int fd;

	close_others(keep);
	if (!enter_workspace(f) || !mount_root(root, f))
		return false;
	fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(f, HP_E_KERNEL, errno, "root", "its directory");
	if (root->hostname != NULL && sys_sethostname(root->hostname, strlen(root->hostname)) < 0)
		return fail(f, HP_E_KERNEL, errno, "hostname", "sethostname");
	if (!set_sysctls(root, f))
		return false;
	condev_mount(fd);
	if (root->pod_etc && !pod_etc(root, fd, f))
		return false;
	JSON_EACH(root->doc, root->fsmap, n)
		if (!bind_original(root, fd, n, f))
			return false;
	JSON_EACH(root->doc, root->mounts, n)
		if (!mount_volume(root, fd, n, f))
			return false;
	if (read_only && mount(NULL, place_name(fd).path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return fail(f, HP_E_KERNEL, errno, "readOnly", "the root");
	close(fd);
	if (!change_root(f))
		return false;
	condev_mask();
	return true;
}

void conroot_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}
