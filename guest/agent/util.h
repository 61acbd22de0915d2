/* Buffers, byte order, time, failures: what every other file uses. */
#ifndef HP_UTIL_H
#define HP_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Why a request is refused: becomes the payload of ERROR. */
struct failure {
	const char *code; /* HP_E_… */
	int err; /* errno, or 0 */
	char field[64];
	char reason[256];
};

/* Fills `f` and returns false, so that a check is one line. With `err` its words are appended. */
bool fail(struct failure *f, const char *code, int err, const char *field, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* A byte queue: written at the tail, read at the head, memory given back when it runs empty. */
struct queue {
	uint8_t *data;
	size_t start, len, cap;
};

/* Room for `n` contiguous bytes at the tail, or NULL without memory; queue_commit() says how many were used. */
uint8_t *queue_reserve(struct queue *q, size_t n);
void queue_commit(struct queue *q, size_t n);
bool queue_put(struct queue *q, const void *data, size_t n);
void queue_consume(struct queue *q, size_t n);
void queue_free(struct queue *q);
static inline const uint8_t *queue_head(const struct queue *q)
{
	return q->data != NULL ? q->data + q->start : NULL;
}

/* JSON text is written into a queue; a failed allocation is remembered, and asked for once at the end. */
struct writer {
	struct queue q;
	bool failed;
};
void write_text(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void write_json_string(struct writer *w, const char *text);
void write_failure(struct writer *w, const struct failure *f);

void put_be32(uint8_t *p, uint32_t v);
void put_be64(uint8_t *p, uint64_t v);
uint32_t get_be32(const uint8_t *p);
uint64_t get_be64(const uint8_t *p);

uint64_t now_ms(void); /* CLOCK_MONOTONIC */
/* A line on the console. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole decimal number within bounds. */
bool parse_u64(const char *text, uint64_t max, uint64_t *out);
/* snprintf that tells whether it all fitted. */
bool format_into(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
