/* Output of processes on its way to the host: in turn, within its credit, to its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "process.h"

/* With this much queued for the host, outputs wait. A frame of the extension is one write of a virtio port. */
#define OUT_HIGH_BYTES 65536
#define FRAME_PAYLOAD_MAX (32768 - HP_STREAM_HEADER_BYTES)
/* The original reads output in small pieces; its clients have never seen more in one message. */
#define BASE_PAYLOAD_MAX (4096 - HP_STREAM_HEADER_BYTES)
/* A terminal whose process ended mostly says so by EIO; not if something it started still holds it. */
#define TERMINAL_END_MS 100

static struct output *all_outputs, *ready_head, **ready_tail = &ready_head;
static unsigned outputs_total;

static bool output_eligible(const struct output *o)
{
	if (o->src.fd < 0 || !o->can_read)
		return false;
	return o->owner == NULL || !session.extended || o->credit > 0 || (o->ending && o->left == 0);
}

static void output_kick(struct output *o)
{
	if (o->in_ring || !output_eligible(o))
		return;
	o->in_ring = true;
	o->next_ready = NULL;
	*ready_tail = o;
	ready_tail = &o->next_ready;
}

static void output_ready(struct source *s, uint32_t events)
{
	struct output *o = CONTAINER_OF(s, struct output, src);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		o->can_read = true;
	output_kick(o);
}

static void leave_ring(struct output *o)
{
	struct output **at = &ready_head;

	if (!o->in_ring)
		return;
	while (*at != o)
		at = &(*at)->next_ready;
	*at = o->next_ready;
	if (ready_tail == &o->next_ready)
		ready_tail = at;
	o->in_ring = false;
}

static void output_free(struct output *o)
{
	leave_ring(o);
	timer_clear(&o->end_timer);
	loop_close(&o->src);
	*o->link = o->next;
	if (o->next != NULL)
		o->next->link = o->link;
	outputs_total--;
	free(o);
}

void stream_header(uint8_t *p, uint64_t sequence, size_t payload)
{
	put_be64(p, sequence);
	put_be32(p + 8, (uint32_t)(payload + HP_STREAM_HEADER_BYTES));
}

static void send_end(const struct output *o)
{
	struct process *p = o->owner;
	uint8_t head[HP_STREAM_HEADER_BYTES];

	/*
	 * Seen of the original: its stderr has no end. So that of stdout comes after all of stderr: the host, whom the
	 * exit's event may reach before, has nothing else to tell it that there is no more.
	 */
	if (!session.extended && p->out[0] == o && p->out[1] != NULL) {
		p->stdout_end_due = true;
		return;
	}
	if (!session.extended && p->out[0] != o && !p->stdout_end_due)
		return;
	p->stdout_end_due = false;
	stream_header(head, session.extended ? o->sequence : p->stdio, 0);
	if (!queue_put(&streams_channel.out, head, sizeof(head)))
		say("out of memory: the end of a stream is lost");
}

void output_orphan(struct output *o)
{
	o->owner = NULL;
	timer_clear(&o->end_timer);
	output_kick(o);
}

/* Everything the host shall have of it is queued. `closed`: nobody writes to it any more. */
static void output_end(struct output *o, bool closed)
{
	struct process *p = o->owner;

	send_end(o);
	o->owner = NULL;
	timer_clear(&o->end_timer);
	process_output_ended(p, o);
	if (closed)
		output_free(o);
	else
		output_kick(o);
}

static void end_timer_fired(struct timer *t)
{
	struct output *o = CONTAINER_OF(t, struct output, end_timer);

	if (o->owner == NULL)
		return;
	if (o->can_read) /* there is more, and the host has no room for it yet */
		timer_set(t, TERMINAL_END_MS);
	else
		output_end(o, false);
}

void output_process_ended(struct output *o)
{
	int there = 0;

	o->ending = true;
	if (o->terminal) {
		/* FIONREAD does not count what is still between the two ends of a terminal: EIO says when that is all. */
		o->left = UINT64_MAX;
		o->end_timer.fire = end_timer_fired;
		timer_set(&o->end_timer, TERMINAL_END_MS);
	} else if (o->src.fd >= 0 && ioctl(o->src.fd, FIONREAD, &there) == 0) {
		o->left = (uint64_t)there;
	}
	o->can_read = true;
	output_kick(o);
}

struct output *output_new(struct process *owner, int fd, uint64_t sequence, bool terminal)
{
	struct output *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->src.fd = -1;
	o->src.ready = output_ready;
	if (!loop_watch(&o->src, fd)) {
		free(o);
		return NULL;
	}
	o->owner = owner;
	o->sequence = sequence;
	o->credit = HP_INITIAL_CREDIT_BYTES;
	o->terminal = terminal;
	o->next = all_outputs;
	o->link = &all_outputs;
	if (all_outputs != NULL)
		all_outputs->link = &o->next;
	all_outputs = o;
	outputs_total++;
	return o;
}

unsigned output_count(void)
{
	return outputs_total;
}

/* Both tell whether the output still exists. */
static bool discard_some(struct output *o)
{
	static uint8_t nowhere[16384];
	ssize_t n = read(o->src.fd, nowhere, sizeof(nowhere));

	if (n > 0)
		return true;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		o->can_read = errno == EINTR;
		return true;
	}
	output_free(o);
	return false;
}

static bool send_some(struct output *o)
{
	size_t max = session.extended ? FRAME_PAYLOAD_MAX : BASE_PAYLOAD_MAX;
	uint8_t *p;
	ssize_t n;

	if (o->ending && o->left == 0) {
		output_end(o, false);
		return true;
	}
	if (session.extended && max > o->credit)
		max = (size_t)o->credit;
	if (o->ending && max > o->left)
		max = (size_t)o->left;
	p = queue_reserve(&streams_channel.out, HP_STREAM_HEADER_BYTES + max);
	if (p == NULL) {
		o->can_read = false; /* the next edge, or the end of the process, tries again */
		return true;
	}
	n = read(o->src.fd, p + HP_STREAM_HEADER_BYTES, max);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		o->can_read = errno == EINTR;
		return true;
	}
	if (n <= 0) {
		output_end(o, true);
		return false;
	}
	stream_header(p, o->sequence, (size_t)n);
	queue_commit(&streams_channel.out, HP_STREAM_HEADER_BYTES + (size_t)n);
	if (session.extended)
		o->credit -= (uint64_t)n;
	if (o->ending)
		o->left -= (uint64_t)n;
	if (o->ending && o->left == 0)
		output_end(o, false);
	return true;
}

/* One piece of each in turn, so that a stream with much to say does not hold up the others. */
bool outputs_pump(void)
{
	bool progress = false;

	for (unsigned turns = outputs_total; turns > 0 && ready_head != NULL; turns--) {
		struct output *o = ready_head;
		bool wanted = o->owner != NULL;

		leave_ring(o);
		/* Before the host's mark has come, the channel may still be that of the host before. */
		if (!wanted || (streams_channel.out.len < OUT_HIGH_BYTES && !streams_await_mark())) {
			progress = true;
			if (!(wanted ? send_some(o) : discard_some(o)))
				continue;
		}
		output_kick(o);
	}
	return progress;
}

static void credit_from_host(struct output *o, uint32_t bytes)
{
	if (o->credit + bytes > HP_INITIAL_CREDIT_BYTES) {
		session_end("more credit than a stream begins with");
		return;
	}
	o->credit += bytes;
	output_kick(o);
}

bool handle_credit(struct call *call, struct failure *f)
{
	(void)f;
	if (call->length != 12) {
		session_end("CREDIT: expected 12 bytes");
		return true;
	}
	for (struct process *p = processes; p != NULL; p = p->next) {
		if (p->detached)
			continue;
		for (int i = 0; i < 2; i++)
			if (p->out[i] != NULL && p->out[i]->sequence == get_be64(call->payload)) {
				credit_from_host(p->out[i], get_be32(call->payload + 8));
				return true;
			}
	}
	return true;
}
