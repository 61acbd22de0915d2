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
#include "sys.h"

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

static bool write_in_place(const char *path, const void *data, size_t length, struct failure *f)
{
	int fd = sys_open(path, O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0);
	bool ok;

	if (fd < 0)
		return fail(f, errno == ENOENT ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "file", "%.200s", path);
	ok = write_all(fd, data, length);
	if (!ok)
		fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	close(fd);
	return ok;
}

static bool write_beside(const char *path, const char *beside, const void *data, size_t length, mode_t mode,
			 struct failure *f)
{
	int fd = sys_open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	bool ok;

	if (fd < 0)
		return fail(f, errno == ENOENT ? HP_E_NOT_FOUND : HP_E_KERNEL, errno, "file", "%.200s", path);
	/* fchmod, since the umask shall not matter. */
	ok = write_all(fd, data, length) && sys_fchmod(fd, mode) == 0;
	if (!ok)
		fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	close(fd);
	if (ok && sys_rename(beside, path) < 0)
		ok = fail(f, HP_E_KERNEL, errno, "file", "%.200s", path);
	if (!ok)
		sys_unlink(beside);
	return ok;
}

bool file_replace(const char *path, const void *data, size_t length, int mode, struct failure *f)
{
	static unsigned serial;
	char real[PATH_MAX], beside[PATH_MAX];
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
	if (!format_into(beside, sizeof(beside), "%s.%d-%u.new", real, (int)getpid(), serial++))
		return fail(f, HP_E_INVALID, ENAMETOOLONG, "file", "path");
	if (write_beside(real, beside, data, length, (mode_t)mode, f))
		return true;
	/* /proc, /sys, and files that are mount points cannot be replaced, only written. */
	return exists && f->err != ENOSPC && write_in_place(real, data, length, f);
}

bool file_poke(const char *path, const char *text)
{
	struct failure f;

	return write_in_place(path, text, strlen(text), &f);
}

bool file_peek(const char *path, char *text, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	return true;
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

static bool write_here(const struct call *call, struct queue *out, struct failure *f)
{
	const struct hp_value *mode = &call->v[HP_File_mode];

	(void)out;
	return file_replace(call->v[HP_File_file].string, call->payload + call->tail, call->length - call->tail,
			    mode->present ? (int)mode->number : -1, f);
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

static bool reply_from(struct call *call, container_work *work, struct failure *f)
{
	const char *container = call->v[HP_File_container].string;
	struct queue out = { 0 };
	bool ok = strcmp(container, OWN_CONTAINER) == 0 ? work(call, &out, f) :
							  container_do(container, work, call, &out, f);

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
	return file_path(call, f) && reply_from(call, write_here, f);
}

bool handle_readfile(struct call *call, struct failure *f)
{
	return file_path(call, f) && reply_from(call, read_here, f);
}
