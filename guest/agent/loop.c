#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "util.h"

#define BATCH 64

static int epoll_fd = -1;
static struct epoll_event batch[BATCH];
static int batch_size;
static struct timer *timers;
static bool quitting;
static int quit_status;

bool loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0;
}

bool loop_watch(struct source *s, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return false;
	s->fd = fd;
	return true;
}

void loop_close(struct source *s)
{
	int i;

	if (s->fd < 0)
		return;
	/* A child between fork and exec may still hold the file, so closing alone would leave it watched. */
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
	for (i = 0; i < batch_size; i++)
		if (batch[i].data.ptr == s)
			batch[i].data.ptr = NULL;
}

void timer_set(struct timer *t, uint64_t delay_ms)
{
	struct timer **at = &timers;

	timer_clear(t);
	t->at_ms = now_ms() + delay_ms;
	while (*at != NULL && (*at)->at_ms <= t->at_ms)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	t->set = true;
}

void timer_clear(struct timer *t)
{
	struct timer **at = &timers;

	if (!t->set)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	t->set = false;
}

void loop_run_timers(void)
{
	uint64_t now = now_ms();

	while (timers != NULL && timers->at_ms <= now) {
		struct timer *t = timers;

		timers = t->next;
		t->set = false;
		t->fire(t);
	}
}

static int wait_ms(bool more)
{
	uint64_t now;

	if (more)
		return 0;
	if (timers == NULL)
		return -1;
	now = now_ms();
	if (timers->at_ms <= now)
		return 0;
	return timers->at_ms - now > 60000 ? 60000 : (int)(timers->at_ms - now);
}

void loop_quit(int status)
{
	quitting = true;
	quit_status = status;
}

int loop_run(bool (*pump)(void))
{
	bool more = pump();

	while (!quitting) {
		int n = epoll_wait(epoll_fd, batch, BATCH, wait_ms(more));

		if (n < 0 && errno != EINTR) {
			say("epoll_wait failed, errno %d", errno);
			return 1;
		}
		batch_size = n > 0 ? n : 0;
		for (int i = 0; i < batch_size; i++) {
			struct source *s = batch[i].data.ptr;

			if (s != NULL)
				s->ready(s, batch[i].events);
		}
		batch_size = 0;
		loop_run_timers();
		more = pump();
	}
	return quit_status;
}
