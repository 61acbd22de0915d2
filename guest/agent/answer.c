/* Messages to the host: answers, in the form of the protocol that is spoken. */
#include <string.h>

#include "agent.h"

bool answer_owed;

void control_queue(uint32_t code, uint32_t id, bool with_id, const void *payload, size_t length)
{
	size_t head = HP_CONTROL_HEADER_BYTES + (with_id ? 4 : 0);
	uint8_t *p = queue_reserve(&control_channel.out, head + length);

	if (p == NULL) {
		say("out of memory: a message of %zu bytes to the host is lost", head + length);
		return;
	}
	put_be32(p, code);
	put_be32(p + 4, (uint32_t)(head + length));
	if (with_id)
		put_be32(p + 8, id);
	if (length > 0)
		memcpy(p + head, payload, length);
	queue_commit(&control_channel.out, head + length);
}

void send_control(uint32_t code, const void *payload, size_t length)
{
	control_queue(code, 0, session.extended, payload, length);
}

static void answer(const struct request *r, uint32_t code, const void *payload, size_t length)
{
	if (r->generation != session.generation)
		return;
	if (!r->extended)
		answer_owed = false;
	control_queue(code, r->id, r->extended, payload, length);
}

void reply_ack(const struct request *r, const void *payload, size_t length)
{
	answer(r, HP_ACK, payload, length);
}

void reply_error(const struct request *r, const struct failure *f)
{
	struct writer w = { 0 };

	if (!r->extended) { /* the original never says why */
		answer(r, HP_ERROR, NULL, 0);
		return;
	}
	write_failure(&w, f);
	if (w.failed)
		answer(r, HP_ERROR, NULL, 0);
	else
		answer(r, HP_ERROR, queue_head(&w.q), w.q.len);
	queue_free(&w.q);
}

void reply_json(const struct request *r, struct writer *w)
{
	struct failure f;

	if (w->failed) {
		fail(&f, HP_E_LIMIT, 0, NULL, "out of memory");
		reply_error(r, &f);
	} else {
		answer(r, HP_ACK, queue_head(&w->q), w->q.len);
	}
	queue_free(&w->q);
}

void request_defer(const struct request *r)
{
	if (!r->extended && r->generation == session.generation)
		answer_owed = true;
}
