/*
 * Any bytes on both channels, through the parsers, the dispatcher and every handler; only the edge to the system is a
 * stub. What the agent queues for the host must be well-formed in every case.
 *
 * The input is a row of pieces: a byte that says which channel (and a few special steps), a length byte, the bytes.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../agent.h"
#include "../container.h"
#include "../job.h"
#include "../process.h"
#include "stub.h"

static void check_queue(struct queue *q, size_t header, size_t at)
{
	size_t left = q->len;
	const uint8_t *p = queue_head(q);

	while (left > 0) {
		uint32_t length;

		if (left < header)
			abort();
		length = get_be32(p + at);
		if (length < header || length > left)
			abort();
		p += length;
		left -= length;
	}
	queue_free(q);
}

static void begin_session(void)
{
	static const char hello[] = "{\"hyperplug\":1,\"nonce\":\"0123456789abcdef\"}";
	static const uint8_t mark[] = "\0\0\0\0\0\0\0\0\0\0\0\034"
				      "0123456789abcdef";
	uint8_t head[8] = { 0 };

	put_be32(head + 4, sizeof(head) + sizeof(hello) - 1);
	control_input(head, sizeof(head));
	control_input((const uint8_t *)hello, sizeof(hello) - 1);
	streams_input(mark, sizeof(mark) - 1);
}

/* A piece framed as the peer would frame it, so that the fuzzer need not guess lengths. */
static void framed(uint8_t code, const uint8_t *data, size_t n)
{
	uint8_t message[8 + 4 + 255 * 16];

	put_be32(message, code);
	if (session.extended) {
		put_be32(message + 4, (uint32_t)(12 + n));
		put_be32(message + 8, 7);
		memcpy(message + 12, data, n);
		control_input(message, 12 + n);
	} else {
		put_be32(message + 4, (uint32_t)(8 + n));
		memcpy(message + 8, data, n);
		control_input(message, 8 + n);
	}
}

static void framed_stream(uint8_t sequence, const uint8_t *data, size_t n)
{
	uint8_t head[12] = { 0 };

	head[7] = sequence;
	put_be32(head + 8, (uint32_t)(12 + n));
	streams_input(head, sizeof(head));
	streams_input(data, n);
}

static void step(uint8_t what, const uint8_t *data, size_t n)
{
	switch (what & 7) {
	case 0:
		control_input(data, n);
		break;
	case 1:
		streams_input(data, n);
		break;
	case 2:
		begin_session();
		break;
	case 3:
		session_lost();
		break;
	case 4:
	case 5:
		framed(what >> 3 < 26 ? what >> 3 : (uint8_t)(64 + (what >> 3) - 26 + (what & 1 ? 4 : 0)), data, n);
		break;
	case 6:
		framed_stream(what >> 5, data, n);
		break;
	default:
		stub_netlink_feed(data, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready) {
		ready = loop_init();
		signal(SIGPIPE, SIG_IGN); /* as main.c does */
		agent.root = "/tmp/no-such-directory"; /* what is there is another for each machine */
		agent.own_uts = true;
	}
	while (size >= 2) {
		uint8_t what = data[0];
		size_t n = data[1] * (what & 4 ? 4u : 1u);

		data += 2;
		size -= 2;
		if (n > size)
			n = size;
		step(what, data, n);
		outputs_pump();
		check_queue(&control_channel.out, 8, 4);
		check_queue(&streams_channel.out, 12, 8);
		data += n;
		size -= n;
	}
	session_lost();
	processes_forget();
	containers_forget();
	jobs_forget();
	for (int i = 0; i < 4 && output_count() > 0; i++)
		outputs_pump();
	agent.stopping = false;
	stub_reset();
	return 0;
}
