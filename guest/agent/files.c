/* WRITEFILE and READFILE, and writing files in one step. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "job.h"
#include "storage.h"
#include "sys.h"
#include "users.h"

static bool write_all(int fd, const uint8_t *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = EIO;
			return false;
		}
		data += n;
		length -= (size_t)n;
	}
	return true;
}

static bool write_through(const char *path, int flags, mode_t mode, const void *data, size_t length, struct failure *f)
{
	int fd = sys_open(path, O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY | flags, mode);
	bool ok;

	if (fd < 0)
		return fail(f, errno == ENOENT ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "file", "%.200s", path);
	ok = write_all(fd, data, length);
	if (!ok)
		fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	close(fd);
	return ok;
}

static bool write_in_place(const char *path, const void *data, size_t length, struct failure *f)
{
	return write_through(path, 0, 0, data, length, f);
}

bool file_write(const char *path, const void *data, size_t length, mode_t mode, struct failure *f)
{
	return write_through(path, O_CREAT, mode, data, length, f);
}

static bool write_beside(const char *path, const char *beside, const void *data, size_t length, mode_t mode,
			 const struct file_owner *owner, struct failure *f)
{
	int fd = sys_open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	bool ok;

	if (fd < 0)
		return fail(f, errno == ENOENT ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "file", "%.200s", path);
	/* fchmod, since the umask shall not matter. */
	ok = write_all(fd, data, length) && ((owner->uid == 0 && owner->gid == 0) || sys_fchown(fd, owner->uid, owner->gid) == 0) &&
	     sys_fchmod(fd, mode) == 0;
	if (!ok)
		fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	close(fd);
	if (ok && sys_rename(beside, path) < 0)
		ok = fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	if (!ok)
		sys_unlink(beside);
	return ok;
}

bool file_replace_as(const char *path, const void *data, size_t length, int mode, const struct file_owner *owner,
		     struct failure *f)
{
	static unsigned serial;
	char real[PATH_MAX], beside[PATH_MAX];
	struct file_owner whose = { 0, 0 };
	struct stat st;
	bool exists;

	/* A link stays one: what it points to is replaced. */
	if (realpath(path, real) == NULL && !format_into(real, sizeof(real), "%s", path))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "file", "path");
	exists = stat(real, &st) == 0;
	if (exists && S_ISDIR(st.st_mode))
		return fail(f, HP_E_KERNEL, EISDIR, "file", "%.200s", path);
	if (exists && !S_ISREG(st.st_mode))
		return write_in_place(real, data, length, f);
	if (mode < 0)
		mode = exists ? (int)(st.st_mode & 07777) : 0644;
	if (exists && owner->uid == FILE_OWNER_KEPT)
		whose.uid = st.st_uid;
	else if (owner->uid != FILE_OWNER_KEPT)
		whose.uid = owner->uid;
	if (exists && owner->gid == FILE_OWNER_KEPT)
		whose.gid = st.st_gid;
	else if (owner->gid != FILE_OWNER_KEPT)
		whose.gid = owner->gid;
	if (!format_into(beside, sizeof(beside), "%s.%d-%u.new", real, (int)getpid(), serial++))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "file", "path");
	if (write_beside(real, beside, data, length, (mode_t)mode, &whose, f))
		return true;
	/* /proc, /sys, and files that are mount points cannot be replaced, only written. */
	return exists && f->err != ENOSPC && write_in_place(real, data, length, f);
}

bool file_replace(const char *path, const void *data, size_t length, int mode, struct failure *f)
{
	static const struct file_owner kept = { FILE_OWNER_KEPT, FILE_OWNER_KEPT };

	return file_replace_as(path, data, length, mode, &kept, f);
}

bool file_poke(const char *path, const char *text)
{
	struct failure f;

	return write_in_place(path, text, strlen(text), &f);
}

bool file_peek(const char *path, char *text, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
	size_t length = 0;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	/* /proc gives a page at a time. */
	while (length < size - 1 && (n = read(fd, text + length, size - 1 - length)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		length += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	text[length] = 0;
	return length > 0 || n == 0;
}

static bool file_path(const struct call *call, struct failure *f)
{
	const char *file = call->v[HP_File_file].string;

	return *file == '/' ||
	       fail(f, HP_E_INVALID, 0, "file", "expected an absolute path, got \"%.64s\"", file);
}

static bool read_all(int fd, struct queue *q, const char *path, struct failure *f)
{
	for (;;) {
		uint8_t *p = queue_reserve(q, 65536);
		ssize_t n;

		if (p == NULL)
			return fail(f, HP_E_LIMIT, ENOMEM, "file", "%.200s", path);
		n = read(fd, p, 65536);
		if (n == 0)
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
		queue_commit(q, (size_t)n);
		if (q->len > HP_FILE_MAX_BYTES)
			return fail(f, HP_E_LIMIT, EFBIG, "file", "%.200s: at most %u bytes", path, HP_FILE_MAX_BYTES);
	}
}

static bool find_owner(const struct call *call, struct file_owner *owner, struct failure *f)
{
	const char *user = call->v[HP_File_user].string, *group = call->v[HP_File_group].string;
	struct user found;

	*owner = (struct file_owner){ FILE_OWNER_KEPT, FILE_OWNER_KEPT };
	if (user != NULL && !user_find(user, &found))
		return fail(f, HP_E_NOT_FOUND, 0, "user", "no user %.64s", user);
	if (user != NULL)
		*owner = (struct file_owner){ found.uid, found.gid };
	if (group != NULL && !group_find(group, &owner->gid))
		return fail(f, HP_E_NOT_FOUND, 0, "group", "no group %.64s", group);
	return true;
}

static bool write_here(const struct call *call, struct queue *out, struct failure *f)
{
	const struct hp_value *mode = &call->v[HP_File_mode];
	struct file_owner owner;

	(void)out;
	return find_owner(call, &owner, f) &&
	       file_replace_as(call->v[HP_File_file].string, call->payload + call->tail, call->length - call->tail,
			       mode->present ? (int)mode->number : -1, &owner, f);
}

/* A container's files are put there before anything has made a place for them. */
static bool write_inside(const struct call *call, struct queue *out, struct failure *f)
{
	char parent[PATH_MAX], *slash;

	if (!format_into(parent, sizeof(parent), "%s", call->v[HP_File_file].string))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "file", "path");
	slash = strrchr(parent, '/');
	*slash = 0;
	if (*parent != 0 && !make_dirs(parent, 0755))
		return fail(f, HP_E_KERNEL, errno, "file", "%.200s", parent);
	return write_here(call, out, f);
}

static bool read_here(const struct call *call, struct queue *out, struct failure *f)
{
	const char *path = call->v[HP_File_file].string;
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	bool ok;

	if (fd < 0)
		return fail(f, errno == ENOENT || errno == ENOTDIR ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "file", "%.200s",
			    path);
	ok = read_all(fd, out, path, f);
	close(fd);
	return ok;
}

static bool reply_from(struct call *call, job_work *here, job_work *inside, struct failure *f)
{
	const char *container = call->v[HP_File_container].string;
	struct queue out = { 0 };
	pid_t init;
	bool ok;

	if (strcmp(container, OWN_CONTAINER) != 0)
		return container_find(container, &init, f) && job_start(call, init, inside, NULL, 0, f);
	ok = here(call, &out, f);
	if (ok)
		reply_ack(&call->request, out.len > 0 ? queue_head(&out) : NULL, out.len);
	queue_free(&out);
	return ok;
}

bool handle_writefile(struct call *call, struct failure *f)
{
	const struct hp_value *mode = &call->v[HP_File_mode];

	if (call->length - call->tail > HP_FILE_MAX_BYTES)
		return fail(f, HP_E_LIMIT, EFBIG, "file", "at most %u bytes", HP_FILE_MAX_BYTES);
	if (mode->present && mode->number > 07777)
		return fail(f, HP_E_INVALID, 0, "mode", "expected at most 07777");
	return file_path(call, f) && reply_from(call, write_here, write_inside, f);
}

bool handle_readfile(struct call *call, struct failure *f)
{
	return file_path(call, f) && reply_from(call, read_here, read_here, f);
}
