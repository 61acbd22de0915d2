/* MOUNT and UNMOUNT: volumes in the guest's own root, which containers may have from there. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "job.h"
#include "storage.h"

static struct {
	char *path; /* NULL: free */
	bool mounted; /* not while it is being mounted or unmounted */
} volumes[HP_MOUNTS_MAX];

static int find_volume(const char *path)
{
	for (unsigned i = 0; i < COUNT_OF(volumes); i++)
		if (volumes[i].path != NULL && strcmp(volumes[i].path, path) == 0)
			return (int)i;
	return -1;
}

static void forget_volume(unsigned i)
{
	free(volumes[i].path);
	volumes[i].path = NULL;
	volumes[i].mounted = false;
}

static bool real_path(char *to, size_t size, const char *path, struct failure *f)
{
	if (agent.root == NULL)
		return fail(f, HP_E_KERNEL, EPERM, NULL, "the agent runs on a host, without --root");
	if (*path != '/' || strspn(path, "/") == strlen(path) || strstr(path, "/..") != NULL)
		return fail(f, HP_E_INVALID, 0, "path", "expected an absolute path below /, got \"%.64s\"", path);
	return format_into(to, size, "%s%s", agent.root, path) || fail(f, HP_E_INVALID, ENAMETOOLONG, "path", "path");
}

static bool mount_work(const struct call *call, struct queue *out, struct failure *f)
{
	struct fs_source source;
	char path[PATH_MAX];

	(void)out;
	if (!real_path(path, sizeof(path), call->v[HP_Mount_path].string, f) ||
	    !fs_source_read(&source, &call->doc, call->v[HP_Mount_source].node, " disk share directory tmpfs ", f))
		return false;
	if (!make_dirs(path, 0755))
		return fail(f, HP_E_KERNEL, errno, "path", "%.200s", path);
	return fs_mount(&source, path, call->v[HP_Mount_readOnly].number != 0, f);
}

static void mount_ended(unsigned i, bool ok)
{
	if (ok)
		volumes[i].mounted = true;
	else
		forget_volume(i);
}

bool handle_mount(struct call *call, struct failure *f)
{
	const char *path = call->v[HP_Mount_path].string;
	struct fs_source source;
	char real[PATH_MAX];
	unsigned i = 0;

	if (!real_path(real, sizeof(real), path, f) ||
	    !fs_source_read(&source, &call->doc, call->v[HP_Mount_source].node, " disk share directory tmpfs ", f))
		return false;
	if (find_volume(path) >= 0)
		return fail(f, HP_E_KERNEL, EBUSY, "path", "%.64s", path);
	while (i < COUNT_OF(volumes) && volumes[i].path != NULL)
		i++;
	if (i == COUNT_OF(volumes) || (volumes[i].path = strdup(path)) == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "at most %u volumes", HP_MOUNTS_MAX);
	if (job_start(call, 0, mount_work, mount_ended, i, f))
		return true;
	forget_volume(i);
	return false;
}

static bool unmount_work(const struct call *call, struct queue *out, struct failure *f)
{
	char path[PATH_MAX];

	(void)out;
	if (!real_path(path, sizeof(path), call->v[HP_Unmount_path].string, f))
		return false;
	return umount2(path, UMOUNT_NOFOLLOW) == 0 || fail(f, HP_E_KERNEL, errno, "path", "%.200s", path);
}

static void unmount_ended(unsigned i, bool ok)
{
	if (ok)
		forget_volume(i);
	else
		volumes[i].mounted = true;
}

bool handle_unmount(struct call *call, struct failure *f)
{
	const char *path = call->v[HP_Unmount_path].string;
	int i = find_volume(path);

	if (i < 0 || !volumes[i].mounted)
		return fail(f, HP_E_NOT_FOUND, 0, "path", "no volume is mounted at %.64s", path);
	volumes[i].mounted = false;
	if (job_start(call, 0, unmount_work, unmount_ended, (unsigned)i, f))
		return true;
	volumes[i].mounted = true;
	return false;
}
