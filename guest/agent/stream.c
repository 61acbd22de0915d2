/* The streams channel from the host: messages out of bytes, input to processes, and its credit. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "process.h"

#define CREDIT_LUMP 65536
/* Without credit (base protocol) this bounds what waits for one process. */
#define BASE_INPUT_MAX 262144
#define READ_BYTES 65536

static struct {
	uint8_t head[HP_STREAM_HEADER_BYTES];
	size_t head_length;
	uint64_t sequence;
	size_t left; /* of the payload */
	bool skip; /* the payload is not wanted */
	bool await_mark;
	uint8_t mark[HP_STREAM_HEADER_BYTES + HP_NONCE_CHARACTERS]; /* the last bytes seen */
	size_t mark_length;
	struct timer partial;
	struct process *blocked; /* base protocol: its stdin is full, and the channel waits for it */
} in;

static uint8_t unread[READ_BYTES];
static size_t unread_start, unread_length;
static bool discarded;

void streams_send_mark(void)
{
	uint8_t mark[sizeof(in.mark)];

	stream_header(mark, 0, HP_NONCE_CHARACTERS);
	memcpy(mark + HP_STREAM_HEADER_BYTES, session.nonce, HP_NONCE_CHARACTERS);
	if (!queue_put(&streams_channel.out, mark, sizeof(mark)))
		say("out of memory: the mark of the session is lost");
}

/* `n` bytes have left the agent towards the process, or are lost on nobody. */
static void input_consumed(struct process *p, size_t n)
{
	uint8_t payload[12];

	if (!session.extended || p->detached)
		return;
	p->in_unreported += (uint32_t)n;
	if (p->in_unreported < CREDIT_LUMP)
		return;
	put_be64(payload, p->stdio);
	put_be32(payload + 8, p->in_unreported);
	p->in_credit += p->in_unreported;
	p->in_unreported = 0;
	send_control(HP_CREDIT, payload, sizeof(payload));
}

void process_input_close(struct process *p)
{
	size_t lost = p->in_queue.len;

	loop_close(&p->in);
	queue_free(&p->in_queue);
	if (in.blocked == p)
		in.blocked = NULL;
	if (lost > 0)
		input_consumed(p, lost);
}

/* End of input on a terminal is its VEOF character; within a line it takes two, the first only ends the line's read. */
static void send_veof(struct process *p)
{
	struct termios t;
	uint8_t text[2];

	if (tcgetattr(p->in.fd, &t) < 0 || !(t.c_lflag & ICANON))
		return;
	text[0] = text[1] = t.c_cc[VEOF];
	if (write(p->in.fd, text, p->in_last_newline ? 1 : 2) < 0)
		return; /* its input is full: it will not miss an end that it does not read up to */
}

static void input_flush(struct process *p)
{
	while (p->in.fd >= 0 && p->in_writable && p->in_queue.len > 0) {
		ssize_t n = write(p->in.fd, queue_head(&p->in_queue), p->in_queue.len);

		if (n > 0) {
			p->in_last_newline = queue_head(&p->in_queue)[n - 1] == '\n';
			queue_consume(&p->in_queue, (size_t)n);
			input_consumed(p, (size_t)n);
		} else if (n < 0 && errno == EAGAIN) {
			p->in_writable = false;
		} else if (n == 0 || errno != EINTR) {
			process_input_close(p);
		}
	}
	if (in.blocked == p && p->in_queue.len < BASE_INPUT_MAX)
		in.blocked = NULL;
	if (p->in.fd >= 0 && p->in_eof && p->in_queue.len == 0) {
		p->in_eof = false;
		if (p->terminal)
			send_veof(p);
		else
			process_input_close(p);
	}
}

static void input_ready(struct source *s, uint32_t events)
{
	struct process *p = CONTAINER_OF(s, struct process, in);

	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		p->in_writable = true;
	input_flush(p);
}

void process_input_open(struct process *p, int fd)
{
	p->in.ready = input_ready;
	p->in_writable = true;
	p->in_last_newline = true;
	p->in_credit = HP_INITIAL_CREDIT_BYTES;
	if (!loop_watch(&p->in, fd))
		close(fd);
}

static void input_data(struct process *p, const uint8_t *data, size_t n)
{
	if (session.extended) {
		if (n > p->in_credit) {
			session_end("more data on a stream than its credit");
			return;
		}
		p->in_credit -= n;
	}
	if (p->in.fd >= 0 && !p->in_eof && !queue_put(&p->in_queue, data, n)) {
		say("out of memory: the input of process %s ends", p->id);
		process_input_close(p);
	} else if (p->in.fd < 0 || p->in_eof) {
		input_consumed(p, n);
		return;
	}
	input_flush(p);
	if (!session.extended && p->in_queue.len >= BASE_INPUT_MAX)
		in.blocked = p;
}

static void input_end(struct process *p)
{
	p->in_eof = true;
	input_flush(p);
}

static void stream_head_complete(void)
{
	uint32_t length = get_be32(in.head + 8);

	in.sequence = get_be64(in.head);
	in.skip = false;
	if (length < HP_STREAM_HEADER_BYTES) {
		session_end("a stream message shorter than its header");
		return;
	}
	in.left = length - HP_STREAM_HEADER_BYTES;
	if (session.extended && in.left > HP_STREAM_PAYLOAD_MAX_BYTES) {
		struct request nobody = { .generation = session.generation, .extended = true };
		struct failure f;

		fail(&f, HP_E_LIMIT, 0, NULL, "a stream message with %zu bytes of payload; at most %u are taken", in.left,
		     HP_STREAM_PAYLOAD_MAX_BYTES);
		reply_error(&nobody, &f);
		in.skip = true;
	}
	if (in.left == 0) {
		struct process *p = process_by_sequence(in.sequence);

		in.head_length = 0;
		if (p != NULL)
			input_end(p);
	}
}

/* Looks for the mark among what may be the rest of another session. */
static size_t seek_mark(const uint8_t *data, size_t length)
{
	uint8_t mark[sizeof(in.mark)];
	size_t used = 0;

	stream_header(mark, 0, HP_NONCE_CHARACTERS);
	memcpy(mark + HP_STREAM_HEADER_BYTES, session.nonce, HP_NONCE_CHARACTERS);
	while (used < length && in.await_mark) {
		if (in.mark_length == sizeof(mark))
			memmove(in.mark, in.mark + 1, --in.mark_length);
		in.mark[in.mark_length++] = data[used++];
		if (in.mark_length == sizeof(mark) && memcmp(in.mark, mark, sizeof(mark)) == 0)
			in.await_mark = false;
	}
	return used;
}

static void partial_expired(struct timer *t)
{
	(void)t;
	say("a stream message was not completed in time; dropped");
	in.head_length = 0;
	in.left = 0;
}

static size_t take_payload(const uint8_t *data, size_t n)
{
	struct process *p = in.skip ? NULL : process_by_sequence(in.sequence);

	if (n > in.left)
		n = in.left;
	in.left -= n;
	if (in.left == 0)
		in.head_length = 0;
	if (p != NULL)
		input_data(p, data, n);
	return n;
}

size_t streams_input(const uint8_t *data, size_t length)
{
	size_t used = 0;

	discarded = false;
	while (used < length && in.blocked == NULL) {
		if (in.await_mark) {
			used += seek_mark(data + used, length - used);
		} else if (in.head_length < sizeof(in.head)) {
			in.head[in.head_length++] = data[used++];
			if (in.head_length == sizeof(in.head))
				stream_head_complete();
		} else {
			used += take_payload(data + used, length - used);
		}
		if (discarded)
			return length;
	}
	if (in.head_length > 0 && in.blocked == NULL) {
		in.partial.fire = partial_expired;
		timer_set(&in.partial, HP_PARTIAL_MESSAGE_TIMEOUT_MS);
	} else {
		timer_clear(&in.partial);
	}
	return used;
}

bool streams_pump_in(void)
{
	bool progress = false;

	for (int turns = 0; turns < 4; turns++) {
		size_t used;

		if (unread_length == 0) {
			ssize_t n = channel_read(&streams_channel, unread, sizeof(unread));

			if (n <= 0)
				return progress;
			unread_start = 0;
			unread_length = (size_t)n;
		}
		used = streams_input(unread + unread_start, unread_length);
		progress = progress || used > 0;
		if (discarded)
			continue;
		window_count(1, used);
		unread_start += used;
		unread_length -= used;
		if (unread_length > 0)
			return progress;
	}
	return progress;
}

void streams_reset(bool await_mark)
{
	in.head_length = 0;
	in.left = 0;
	in.mark_length = 0;
	in.await_mark = await_mark;
	in.blocked = NULL;
	timer_clear(&in.partial);
}

bool streams_await_mark(void)
{
	return in.await_mark;
}

void streams_discard_unread(void)
{
	unread_length = 0;
	discarded = true;
	while (channel_read(&streams_channel, unread, sizeof(unread)) > 0)
		;
}
