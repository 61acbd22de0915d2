/* A byte stream to the host: virtio port, serial line, or (in tests) a socket. */
#ifndef HP_CHANNEL_H
#define HP_CHANNEL_H

#include <sys/types.h>

#include "loop.h"
#include "util.h"

enum channel_kind { CHANNEL_PORT, CHANNEL_SERIAL, CHANNEL_SOCKET, CHANNEL_LISTENER };

struct channel {
	struct source src;
	struct source listener;
	enum channel_kind kind;
	bool connected; /* the host's end is open, as far as we know */
	bool hung_up; /* the host's end was closed: what it left is read, then channel_lost() is told */
	bool can_read, can_write, can_accept;
	struct queue out;
};

extern struct channel control_channel, streams_channel;

bool channel_open_port(struct channel *ch, const char *path);
bool channel_open_serial(struct channel *ch, const char *path);
bool channel_open_socket(struct channel *ch, int fd);
/* Like QEMU's chardev server: serves one connection after the other. */
bool channel_listen(struct channel *ch, const char *path);

/* -1: nothing now (EAGAIN, or the host is away). */
ssize_t channel_read(struct channel *ch, void *data, size_t size);
void channel_flush(struct channel *ch);
/* Accepts a waiting connection, when it is the turn of the next. */
void channel_accept(struct channel *ch);
/* Ends what a hang-up began: drops what was queued for the host that is gone. */
void channel_after_hangup(struct channel *ch);
/* Blocks until a serial line has sent what was written; for use before power-off. */
void channel_drain(struct channel *ch);

#endif
