/* The event loop: epoll (edge-triggered throughout), timers, signals. */
#ifndef HP_LOOP_H
#define HP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Something with a descriptor. `ready` only notes what epoll said; the work is done by the pumps after each batch. */
struct source {
	int fd; /* -1: not watched */
	void (*ready)(struct source *s, uint32_t events);
};

struct timer {
	uint64_t at_ms;
	void (*fire)(struct timer *t);
	struct timer *next;
	bool set;
};

bool loop_init(void);
/* Edge-triggered, for input and output. False with errno. */
bool loop_watch(struct source *s, int fd);
/* Forgets it, also in the batch that is being dispatched; closes the descriptor. */
void loop_close(struct source *s);
void timer_set(struct timer *t, uint64_t delay_ms);
void timer_clear(struct timer *t);

/* Runs until loop_quit(); `pump` does the work of a batch and returns whether some is left that no event will announce. */
int loop_run(bool (*pump)(void));
void loop_quit(int status);

/* The pieces of loop_run(), for the fuzzer. */
void loop_run_timers(void);

#endif
