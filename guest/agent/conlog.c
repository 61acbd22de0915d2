/* The output of main processes: the last HP_CONTAINER_LOG_BYTES of it, in order, whoever listens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "container.h"

#define READ_BYTES 65536
#define ANSWER_MAX 1048576

/* The output of one run of a main process; background processes may hold it longer than that. */
struct log_input {
	struct source src;
	struct log_input *next;
	struct container_log *log; /* NULL: the container is gone, what comes is discarded */
	bool can_read;
};

struct container_log {
	struct queue text;
	uint64_t lost; /* bytes before the first that is kept */
};

static struct log_input *inputs;

bool container_log_new(struct container *c)
{
	c->log = calloc(1, sizeof(*c->log));
	return c->log != NULL;
}

static void input_ready(struct source *s, uint32_t events)
{
	struct log_input *in = CONTAINER_OF(s, struct log_input, src);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		in->can_read = true;
}

bool container_log_watch(struct container *c, int fd)
{
	struct log_input *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return false;
	in->src.fd = -1;
	in->src.ready = input_ready;
	if (!loop_watch(&in->src, fd)) {
		free(in);
		return false;
	}
	in->log = c->log;
	in->can_read = true;
	in->next = inputs;
	inputs = in;
	return true;
}

void container_log_free(struct container *c)
{
	for (struct log_input *in = inputs; in != NULL; in = in->next)
		if (in->log == c->log)
			in->log = NULL;
	if (c->log != NULL)
		queue_free(&c->log->text);
	free(c->log);
	c->log = NULL;
}

static void keep_text(struct container_log *log, const uint8_t *data, size_t n)
{
	size_t more;

	if (!queue_put(&log->text, data, n)) {
		log->lost += n;
		return;
	}
	more = log->text.len > HP_CONTAINER_LOG_BYTES ? log->text.len - HP_CONTAINER_LOG_BYTES : 0;
	queue_consume(&log->text, more);
	log->lost += more;
}

/* False: at its end. */
static bool read_some(struct log_input *in)
{
	static uint8_t data[READ_BYTES];
	ssize_t n = read(in->src.fd, data, sizeof(data));

	if (n > 0 && in->log != NULL)
		keep_text(in->log, data, (size_t)n);
	if (n > 0 || (n < 0 && errno == EINTR))
		return true;
	in->can_read = false;
	return n < 0 && errno == EAGAIN;
}

bool container_logs_pump(void)
{
	bool more = false;

	for (struct log_input **at = &inputs; *at != NULL;) {
		struct log_input *in = *at;

		if (in->can_read && !read_some(in)) {
			*at = in->next;
			loop_close(&in->src);
			free(in);
			continue;
		}
		more = more || in->can_read;
		at = &in->next;
	}
	return more;
}

bool handle_readlog(struct call *call, struct failure *f)
{
	struct container *c = container_get(call->v[HP_ReadLog_container].string, f);
	uint64_t offset = call->v[HP_ReadLog_offset].number, end;
	size_t max = call->v[HP_ReadLog_max].present ? (size_t)call->v[HP_ReadLog_max].number : ANSWER_MAX;
	struct queue answer = { 0 };
	uint8_t head[16];

	if (c == NULL)
		return false;
	end = c->log->lost + c->log->text.len;
	if (offset < c->log->lost)
		offset = c->log->lost;
	if (offset > end)
		offset = end;
	if (max > ANSWER_MAX)
		max = ANSWER_MAX;
	if (max > end - offset)
		max = (size_t)(end - offset);
	put_be64(head, offset);
	put_be64(head + 8, end);
	if (!queue_put(&answer, head, sizeof(head)) ||
	    (max > 0 && !queue_put(&answer, queue_head(&c->log->text) + (offset - c->log->lost), max))) {
		queue_free(&answer);
		return fail(f, HP_E_LIMIT, ENOMEM, NULL, "the log");
	}
	reply_ack(&call->request, queue_head(&answer), answer.len);
	queue_free(&answer);
	return true;
}
