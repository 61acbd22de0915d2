/* The control channel: messages out of bytes, answers into bytes, the session's beginning and end. */
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "container.h"
#include "process.h"

/* With this much unread by the host no further command is taken: its answers would have no bound. */
#define OUT_HIGH_BYTES (1024 * 1024)
#define READ_BYTES 65536

struct agent agent;
struct session session;

static struct {
	uint8_t head[HP_CONTROL_HEADER_BYTES];
	size_t head_length;
	uint32_t code;
	size_t body_length; /* what the header says, less the header */
	struct queue body;
	size_t skip; /* of a message that is too large */
	bool oversize; /* only its id is still wanted */
	struct timer partial;
} in;

static uint32_t unreported[2]; /* bytes read of the two channels, of which the host has not been told */

/* What was read from the channel and not yet taken by the parser. */
static uint8_t unread[READ_BYTES];
static size_t unread_start, unread_length;
static bool discarded; /* since the flag was last cleared: what was being parsed is void */

void window_count(unsigned channel, size_t n)
{
	uint8_t payload[8];

	if (!session.extended || session.window == 0)
		return;
	unreported[channel] += (uint32_t)n;
	if (unreported[channel] < (session.window + 1) / 2)
		return;
	put_be32(payload, channel);
	put_be32(payload + 4, unreported[channel]);
	unreported[channel] = 0;
	send_control(HP_NEXT, payload, sizeof(payload));
}

static void count_read(size_t n)
{
	uint8_t payload[4];

	if (session.extended) {
		window_count(0, n);
		return;
	}
	put_be32(payload, (uint32_t)n);
	control_queue(HP_NEXT, 0, false, payload, sizeof(payload));
}

void control_reset(void)
{
	in.head_length = 0;
	in.skip = 0;
	in.oversize = false;
	queue_free(&in.body);
	timer_clear(&in.partial);
}

void control_discard_unread(void)
{
	unread_length = 0;
	discarded = true;
	while (channel_read(&control_channel, unread, sizeof(unread)) > 0)
		;
}

static void next_generation(void)
{
	session.generation++;
	answer_owed = false;
	unreported[0] = unreported[1] = 0;
}

static void to_base(void)
{
	if (session.extended)
		processes_detach();
	session.extended = false;
	session.window = 0;
	next_generation();
}

void session_end(const char *reason)
{
	struct request nobody = { .generation = session.generation, .extended = session.extended };
	struct failure f;

	fail(&f, HP_E_INVALID, 0, NULL, "%s", reason);
	reply_error(&nobody, &f);
	to_base();
	control_reset();
	streams_reset(false);
	control_discard_unread();
	streams_discard_unread();
}

void session_lost(void)
{
	to_base();
	control_reset();
	streams_reset(false);
	unread_length = 0;
	queue_free(&control_channel.out);
	queue_free(&streams_channel.out);
}

static bool parse_hello(struct call *call, struct failure *f)
{
	const char *nonce;

	if (!json_parse(&call->doc, (char *)call->payload, call->length, NULL, f) ||
	    !json_decode(&call->doc, 0, &hp_schema_Hello, call->v, f))
		return false;
	if (call->v[HP_Hello_hyperplug].number != HP_EXTENSION)
		return fail(f, HP_E_INVALID, 0, "hyperplug", "only version %u of the extension is spoken", HP_EXTENSION);
	nonce = call->v[HP_Hello_nonce].string;
	if (strlen(nonce) != HP_NONCE_CHARACTERS ||
	    strspn(nonce, "0123456789abcdefABCDEF") != HP_NONCE_CHARACTERS)
		return fail(f, HP_E_INVALID, 0, "nonce", "expected %u hexadecimal digits", HP_NONCE_CHARACTERS);
	if (call->v[HP_Hello_window].present && call->v[HP_Hello_window].number < 64)
		return fail(f, HP_E_INVALID, 0, "window", "expected at least 64 bytes");
	return true;
}

/*
 * GETVERSION: with a hello it begins a session of the extension, without one it is an original client's. Its answer has
 * the base protocol's form in both, since the client may not know which of the two the agent speaks.
 */
static void get_version(uint8_t *payload, size_t length)
{
	struct call call = { .payload = payload, .length = length };
	struct writer w = { 0 };
	struct failure f;
	uint8_t version[4];

	put_be32(version, HP_VERSION);
	if (length == 0) {
		if (session.extended) {
			to_base();
			streams_reset(false);
		}
		control_queue(HP_ACK, 0, false, version, sizeof(version));
		return;
	}
	if (!parse_hello(&call, &f)) {
		/* The original never looks at a payload here, so what is no hello is no mistake. */
		if (session.extended)
			session_end(f.reason);
		else
			control_queue(HP_ACK, 0, false, version, sizeof(version));
		json_free(&call.doc);
		return;
	}
	processes_detach();
	next_generation();
	session.extended = true;
	session.window = (uint32_t)call.v[HP_Hello_window].number;
	memcpy(session.nonce, call.v[HP_Hello_nonce].string, HP_NONCE_CHARACTERS);
	queue_put(&w.q, version, sizeof(version));
	write_text(&w, "{\"hyperplug\":%u,\"agent\":\"%s\",\"nonce\":\"%s\"}", HP_EXTENSION, AGENT_VERSION, session.nonce);
	control_queue(HP_ACK, 0, false, queue_head(&w.q), w.q.len);
	queue_free(&w.q);
	json_free(&call.doc);
	streams_reset(true);
	streams_send_mark();
}

static void message_complete(void)
{
	struct request r = { .code = in.code, .generation = session.generation, .extended = session.extended };
	struct queue body = in.body;
	uint8_t *payload = body.data != NULL ? body.data + body.start : NULL;
	size_t length = in.body_length;
	struct failure f;

	/* The parser is ready for the next message before this one is handled: handling it may end the session. */
	memset(&in.body, 0, sizeof(in.body));
	in.head_length = 0;
	timer_clear(&in.partial);
	if (r.code == HP_GETVERSION) {
		get_version(payload, length);
	} else if (!r.extended) {
		dispatch(&r, payload, length);
	} else if (length < 4) {
		fail(&f, HP_E_INVALID, 0, NULL, "a message without an id");
		reply_error(&r, &f);
	} else {
		r.id = get_be32(payload);
		dispatch(&r, payload + 4, length - 4);
	}
	queue_free(&body);
}

static void refuse_oversize(uint32_t id)
{
	struct request r = { .id = id, .generation = session.generation, .extended = session.extended };
	struct failure f;

	fail(&f, HP_E_LIMIT, 0, NULL, "a message of %zu bytes; at most %u are taken",
	     in.body_length + HP_CONTROL_HEADER_BYTES, HP_CONTROL_MESSAGE_MAX_BYTES);
	reply_error(&r, &f);
}

static void header_complete(void)
{
	uint32_t length = get_be32(in.head + 4);

	in.code = get_be32(in.head);
	count_read(HP_CONTROL_HEADER_BYTES);
	if (length < HP_CONTROL_HEADER_BYTES) {
		session_end("a control message shorter than its header");
		return;
	}
	in.body_length = length - HP_CONTROL_HEADER_BYTES;
	if (length > HP_CONTROL_MESSAGE_MAX_BYTES) {
		in.oversize = session.extended;
		if (!in.oversize) {
			refuse_oversize(0);
			in.skip = in.body_length;
			in.head_length = 0;
		}
	} else if (in.body_length == 0) {
		message_complete();
	}
}

static size_t take_body(const uint8_t *data, size_t n)
{
	size_t want = (in.oversize ? 4 : in.body_length) - in.body.len;

	if (n > want)
		n = want;
	if (!session.extended && n > HP_BASE_CHUNK_BYTES)
		n = HP_BASE_CHUNK_BYTES; /* an original client counts NEXTs of at most this */
	if (!queue_put(&in.body, data, n)) {
		say("out of memory: a command of %zu bytes is dropped", in.body_length);
		refuse_oversize(0);
		in.skip = in.body_length - in.body.len;
		in.head_length = 0;
		queue_free(&in.body);
		return 0;
	}
	count_read(n);
	if (in.oversize && in.body.len == 4) {
		refuse_oversize(get_be32(queue_head(&in.body)));
		in.skip = in.body_length - 4;
		in.head_length = 0;
		in.oversize = false;
		queue_free(&in.body);
	} else if (!in.oversize && in.body.len == in.body_length) {
		message_complete();
	}
	return n;
}

static bool control_blocked(void)
{
	return answer_owed || agent.stopping || control_channel.out.len > OUT_HIGH_BYTES;
}

static void partial_expired(struct timer *t)
{
	(void)t;
	say("a control message was not completed in time; dropped");
	control_reset();
}

size_t control_input(const uint8_t *data, size_t length)
{
	size_t used = 0;

	discarded = false;
	while (used < length) {
		if (discarded)
			return length;
		if (in.skip > 0) {
			size_t n = length - used < in.skip ? length - used : in.skip;

			in.skip -= n;
			used += n;
			count_read(n);
		} else if (in.head_length < sizeof(in.head)) {
			if (in.head_length == 0 && control_blocked())
				break;
			in.head[in.head_length++] = data[used++];
			if (in.head_length == sizeof(in.head))
				header_complete();
		} else {
			used += take_body(data + used, length - used);
		}
	}
	if (in.head_length > 0 || in.skip > 0) {
		in.partial.fire = partial_expired;
		timer_set(&in.partial, HP_PARTIAL_MESSAGE_TIMEOUT_MS);
	}
	return used;
}

static bool control_pump(void)
{
	bool progress = false;

	for (int turns = 0; turns < 16; turns++) {
		size_t used;

		if (unread_length == 0) {
			ssize_t n = channel_read(&control_channel, unread, sizeof(unread));

			if (n <= 0)
				return progress;
			unread_start = 0;
			unread_length = (size_t)n;
		}
		used = control_input(unread + unread_start, unread_length);
		progress = progress || used > 0;
		if (discarded)
			continue;
		unread_start += used;
		unread_length -= used;
		if (unread_length > 0)
			return progress; /* it has to wait */
	}
	return progress;
}

/*
 * What a host that has gone away left behind is still carried out, where it is whole; then its session is over. But the
 * two ends of a host are not seen at once: a streams channel that hangs up before the mark has come on it is that of the
 * host before, seen late, and the session has begun on a control channel that is new already.
 */
static void after_hangup(void)
{
	bool lost = control_channel.hung_up;

	if (control_channel.hung_up)
		control_pump();
	if (streams_channel.hung_up) {
		streams_pump_in();
		lost = lost || !streams_await_mark();
	}
	if (lost)
		session_lost();
	if (control_channel.hung_up)
		channel_after_hangup(&control_channel);
	if (streams_channel.hung_up) {
		channel_after_hangup(&streams_channel);
		if (streams_await_mark())
			streams_send_mark(); /* the one sent before went to the host before */
	}
}

static bool pump_once(void)
{
	size_t queued;
	bool progress;

	after_hangup();
	channel_accept(&control_channel);
	channel_accept(&streams_channel);
	progress = control_pump();
	progress = streams_pump_in() || progress;
	progress = outputs_pump() || progress;
	progress = container_logs_pump() || progress;
	queued = control_channel.out.len + streams_channel.out.len;
	channel_flush(&control_channel);
	channel_flush(&streams_channel);
	/* What was written makes room for what waited. */
	return progress || control_channel.out.len + streams_channel.out.len < queued || control_channel.hung_up ||
	       streams_channel.hung_up;
}

bool agent_pump(void)
{
	for (int rounds = 0; rounds < 8; rounds++)
		if (!pump_once())
			return false;
	return true; /* events and timers have their turn, too */
}
