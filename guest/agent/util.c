#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A queue that has grown beyond this gives its memory back when it runs empty. A frame of a stream fits in it. */
#define QUEUE_KEEP_BYTES 65536

bool fail(struct failure *f, const char *code, int err, const char *field, const char *format, ...)
{
	va_list args;
	size_t used;

	f->code = code;
	f->err = err;
	f->field[0] = 0;
	if (field != NULL)
		snprintf(f->field, sizeof(f->field), "%s", field);
	va_start(args, format);
	vsnprintf(f->reason, sizeof(f->reason), format, args);
	va_end(args);
	used = strlen(f->reason);
	if (err != 0)
		snprintf(f->reason + used, sizeof(f->reason) - used, "%s%s", used > 0 ? ": " : "", strerror(err));
	return false;
}

uint8_t *queue_reserve(struct queue *q, size_t n)
{
	if (q->start > 0 && q->cap - q->start - q->len < n) {
		memmove(q->data, q->data + q->start, q->len);
		q->start = 0;
	}
	if (q->cap - q->start - q->len < n) {
		size_t cap = q->cap > 0 ? q->cap : 256;
		uint8_t *data;

		while (cap - q->len < n)
			cap *= 2;
		data = realloc(q->data, cap);
		if (data == NULL)
			return NULL;
		q->data = data;
		q->cap = cap;
	}
	return q->data + q->start + q->len;
}

void queue_commit(struct queue *q, size_t n)
{
	q->len += n;
}

bool queue_put(struct queue *q, const void *data, size_t n)
{
	uint8_t *tail;

	if (n == 0)
		return true;
	tail = queue_reserve(q, n);
	if (tail == NULL)
		return false;
	memcpy(tail, data, n);
	q->len += n;
	return true;
}

void queue_consume(struct queue *q, size_t n)
{
	q->start += n;
	q->len -= n;
	if (q->len == 0) {
		q->start = 0;
		if (q->cap > QUEUE_KEEP_BYTES)
			queue_free(q);
	}
}

void queue_free(struct queue *q)
{
	free(q->data);
	memset(q, 0, sizeof(*q));
}

void write_text(struct writer *w, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) || !queue_put(&w->q, text, (size_t)n))
		w->failed = true;
}

/* Bytes that are not UTF-8 (a file name in a reason, say) become '?', so that the text stays JSON. */
static size_t utf8_length(const unsigned char *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	uint32_t code = n > 1 ? *p & (0x7fu >> n) : *p;
	size_t i;

	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
		return 0;
	return n;
}

void write_json_string(struct writer *w, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	write_text(w, "\"");
	while (*p != 0) {
		size_t n = utf8_length(p);

		if (*p == '"' || *p == '\\')
			write_text(w, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			write_text(w, "\\u%04x", *p);
		else if (n == 0)
			write_text(w, "?");
		else if (!queue_put(&w->q, p, n))
			w->failed = true;
		p += n > 0 ? n : 1;
	}
	write_text(w, "\"");
}

void write_failure(struct writer *w, const struct failure *f)
{
	write_text(w, "{\"code\":\"%s\",\"reason\":", f->code);
	write_json_string(w, f->reason);
	if (f->err > 0)
		write_text(w, ",\"errno\":%d", f->err);
	if (f->field[0] != 0) {
		write_text(w, ",\"field\":");
		write_json_string(w, f->field);
	}
	write_text(w, "}");
}

void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void say(const char *format, ...)
{
	char line[320] = "hyperplug-agent: ";
	size_t used = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	used = strlen(line);
	line[used++] = '\n';
	if (write(2, line, used) < 0)
		return; /* there is nobody left to tell */
}

bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == 0)
		return false;
	for (; *text != 0; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return value <= max;
}

bool format_into(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(to, size, format, args);
	va_end(args);
	return n >= 0 && (size_t)n < size;
}
