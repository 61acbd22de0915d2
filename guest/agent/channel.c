#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* What the kernel's virtio_console takes in one write; more would be cut there. */
#define WRITE_MAX 32768

struct channel control_channel = { .src.fd = -1, .listener.fd = -1 };
struct channel streams_channel = { .src.fd = -1, .listener.fd = -1 };

/* Noted at once, before anything is read: what the next connection says on the other channel must come after it. */
static void lost(struct channel *ch)
{
	ch->connected = false;
	ch->can_write = false;
	ch->hung_up = true;
}

static void channel_ready(struct source *s, uint32_t events)
{
	struct channel *ch = CONTAINER_OF(s, struct channel, src);

	if (ch->kind == CHANNEL_PORT) {
		/* POLLHUP of a port says that the host is away. It comes and goes; an edge is reported at each change. */
		if (events & EPOLLHUP) {
			if (ch->connected)
				ch->hung_up = true;
			ch->connected = false;
			ch->can_write = false;
		} else {
			ch->connected = true;
		}
	} else if (ch->kind != CHANNEL_SERIAL && (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))) {
		lost(ch);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		ch->can_read = true;
	if ((events & EPOLLOUT) && ch->connected)
		ch->can_write = true;
}

static bool watch(struct channel *ch, int fd, enum channel_kind kind)
{
	ch->kind = kind;
	ch->src.ready = channel_ready;
	ch->can_read = ch->can_write = true;
	if (loop_watch(&ch->src, fd))
		return true;
	close(fd);
	return false;
}

bool channel_open_port(struct channel *ch, const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	/* Not connected until an event without POLLHUP says so; epoll reports the first state by itself. */
	return fd >= 0 && watch(ch, fd, CHANNEL_PORT);
}

bool channel_open_serial(struct channel *ch, const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct termios t;

	if (fd < 0)
		return false;
	if (tcgetattr(fd, &t) == 0) {
		cfmakeraw(&t);
		t.c_cflag |= CREAD | CLOCAL;
		tcsetattr(fd, TCSANOW, &t);
	}
	ch->connected = true;
	return watch(ch, fd, CHANNEL_SERIAL);
}

bool channel_open_socket(struct channel *ch, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return false;
	ch->connected = true;
	return watch(ch, fd, CHANNEL_SOCKET);
}

static void listener_ready(struct source *s, uint32_t events)
{
	(void)events;
	CONTAINER_OF(s, struct channel, listener)->can_accept = true;
}

bool channel_listen(struct channel *ch, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ch->kind = CHANNEL_LISTENER;
	ch->listener.ready = listener_ready;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4) == 0 &&
	    loop_watch(&ch->listener, fd))
		return true;
	close(fd);
	return false;
}

void channel_accept(struct channel *ch)
{
	int fd;

	if (!ch->can_accept || ch->src.fd >= 0 || ch->hung_up)
		return;
	fd = accept4(ch->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		ch->can_accept = false;
		return;
	}
	ch->connected = watch(ch, fd, CHANNEL_LISTENER);
}

ssize_t channel_read(struct channel *ch, void *data, size_t size)
{
	ssize_t n;

	if (!ch->can_read || ch->src.fd < 0)
		return -1;
	do
		n = read(ch->src.fd, data, size);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	ch->can_read = false;
	if (ch->kind == CHANNEL_PORT || ch->kind == CHANNEL_SERIAL)
		return -1; /* 0 is a port's way to say that the host is away, and POLLHUP says it too */
	if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		lost(ch);
	return -1;
}

void channel_flush(struct channel *ch)
{
	while (ch->can_write && ch->out.len > 0 && ch->src.fd >= 0) {
		ssize_t n = write(ch->src.fd, queue_head(&ch->out), ch->out.len > WRITE_MAX ? WRITE_MAX : ch->out.len);

		if (n > 0) {
			queue_consume(&ch->out, (size_t)n);
		} else if (n == 0 || errno != EINTR) {
			/* EAGAIN: an edge will tell. Anything else shows at the reading end, too. */
			ch->can_write = false;
		}
	}
}

void channel_after_hangup(struct channel *ch)
{
	ch->hung_up = false;
	queue_free(&ch->out);
	if (ch->kind == CHANNEL_SOCKET || ch->kind == CHANNEL_LISTENER)
		loop_close(&ch->src);
	if (ch->kind == CHANNEL_SOCKET)
		loop_quit(0); /* the one connection of a test's agent: nobody can come again */
}

void channel_drain(struct channel *ch)
{
	if (ch->kind == CHANNEL_SERIAL && ch->src.fd >= 0)
		tcdrain(ch->src.fd);
}
