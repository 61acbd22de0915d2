/* The session with the host and the requests in it: what the command handlers need. */
#ifndef HP_AGENT_H
#define HP_AGENT_H

#include "channel.h"
#include "json.h"
#include "loop.h"
#include "protocol.gen.h"
#include "util.h"

#define AGENT_VERSION "0.1.0"
/* No structure has more fields than this (checked where the tables are used). */
#define FIELDS_MAX 20
/* The container name that means: in the init's own namespaces. */
#define OWN_CONTAINER "hyperstart"

struct agent {
	bool pid1;
	/* Where /etc and /sys are looked for: "" as PID 1, `--root` in tests, NULL: such commands are refused. */
	const char *root;
	bool own_uts; /* the host name may be set */
	bool stopping; /* DESTROYPOD or the power button: no further commands */
};
extern struct agent agent;

struct session {
	bool extended;
	uint32_t generation; /* answers to requests of a generation before are dropped */
	char nonce[HP_NONCE_CHARACTERS + 1];
	uint32_t window; /* 0: none */
};
extern struct session session;

/* Copied by what answers later. */
struct request {
	uint32_t code, id, generation;
	bool extended;
};

struct call {
	struct request request;
	struct json doc;
	struct hp_value v[FIELDS_MAX];
	uint8_t *payload; /* after the id */
	size_t length;
	size_t tail; /* offset of what follows the JSON, for WRITEFILE */
};

/* True: it has answered, or will. False: `f` is sent as the answer. */
typedef bool handler_fn(struct call *call, struct failure *f);

void reply_ack(const struct request *r, const void *payload, size_t length);
/* The writer's text is the payload; it is freed. */
void reply_json(const struct request *r, struct writer *w);
void reply_error(const struct request *r, const struct failure *f);
/* The answer comes later: in the base protocol, where answers are in order, nothing else is read until then. */
void request_defer(const struct request *r);
/* An answer is to come, in the base protocol. */
extern bool answer_owed;
void control_queue(uint32_t code, uint32_t id, bool with_id, const void *payload, size_t length);
/* A message that answers nothing. */
void send_control(uint32_t code, const void *payload, size_t length);

/* Parses what came on the control channel; returns how much was taken (less than all: it has to wait). */
size_t control_input(const uint8_t *data, size_t length);
/* The same for the streams channel. */
size_t streams_input(const uint8_t *data, size_t length);
/* True when more can be done without an event. */
bool agent_pump(void);

/* Back to the base protocol, because of what the host sent; it is told why. */
void session_end(const char *reason);
/* The host's end of a channel was closed. */
void session_lost(void);
void control_reset(void);
void streams_reset(bool await_mark);
/* The session has begun, and the host's mark has not come yet. */
bool streams_await_mark(void);
/* Says that `n` bytes of `channel` were read, where a window was asked for. */
void window_count(unsigned channel, size_t n);
/* Discards what is unread, so that parsing begins anew where the host begins anew. */
void control_discard_unread(void);
void streams_discard_unread(void);

void dispatch(const struct request *r, uint8_t *payload, size_t length);

handler_fn handle_startpod, handle_destroypod, handle_exec, handle_winsize, handle_writefile, handle_readfile,
	handle_newcontainer, handle_killcontainer, handle_removecontainer, handle_onlinecpumem, handle_setupinterface,
	handle_setuproute, handle_signal, handle_deleteinterface, handle_getnetwork, handle_deleteroute, handle_credit,
	handle_rescan, handle_listcontainers, handle_readlog, handle_mount, handle_unmount, handle_reseed, handle_setclock,
	handle_stats;

#endif
