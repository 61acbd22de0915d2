#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent.h"

void add(struct buffer *b, const void *bytes, size_t n)
{
	if (b->length + n > b->capacity) {
		b->capacity = (b->length + n) * 2;
		b->data = realloc(b->data, b->capacity);
		if (!b->data)
			abort();
	}
	memcpy(b->data + b->length, bytes, n);
	b->length += n;
}

void append(struct buffer *b, const char *format, ...)
{
	char *text;
	va_list arguments;
	va_start(arguments, format);
	int n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0)
		abort();
	add(b, text, (size_t)n);
	free(text);
}

void consume(struct buffer *b, size_t n)
{
	b->length -= n;
	if (n > 0 && b->length > 0)
		memmove(b->data, b->data + n, b->length);
}

void release(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){ 0 };
}

bool flush(struct buffer *b, int wait)
{
	while (b->length > 0) {
		ssize_t n = write(1, b->data, b->length);
		if (n > 0)
			consume(b, (size_t)n);
		else if (errno == EAGAIN && wait)
			poll(&(struct pollfd){ .fd = 1, .events = POLLOUT }, 1, 1000);
		else if (errno == EAGAIN || errno == EINTR)
			return true;
		else
			return false;
	}
	return true;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const unsigned char *bytes, size_t n, char *text)
{
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)bytes[i] << 16 | (i + 1 < n ? bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
		*text++ = digits[v >> 18];
		*text++ = digits[v >> 12 & 63];
		*text++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*text++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*text = 0;
}

ssize_t base64_decode(const char *text, unsigned char *bytes, size_t room)
{
	size_t n = 0, length = strlen(text);
	unsigned v = 0, held = 0;
	while (length > 0 && text[length - 1] == '=')
		length--;
	for (size_t i = 0; i < length; i++) {
		const char *digit = strchr(digits, text[i]);
		if (!digit)
			return -1;
		v = v << 6 | (unsigned)(digit - digits);
		held += 6;
		if (held < 8)
			continue;
		if (n == room)
			return -1;
		held -= 8;
		bytes[n++] = (unsigned char)(v >> held);
	}
	return (ssize_t)n;
}

bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	return true;
}

static long hex4(const char *at)
{
	char text[5] = { 0 };
	memcpy(text, at, 4);
	return strspn(text, "0123456789abcdefABCDEF") == 4 ? strtol(text, NULL, 16) : -1;
}

static char *put_utf8(char *out, unsigned long c)
{
	if (c < 0x80)
		*out++ = (char)c;
	else if (c < 0x800)
		*out++ = (char)(0xc0 | c >> 6), *out++ = (char)(0x80 | (c & 63));
	else if (c < 0x10000)
		*out++ = (char)(0xe0 | c >> 12), *out++ = (char)(0x80 | (c >> 6 & 63)), *out++ = (char)(0x80 | (c & 63));
	else {
		*out++ = (char)(0xf0 | c >> 18), *out++ = (char)(0x80 | (c >> 12 & 63));
		*out++ = (char)(0x80 | (c >> 6 & 63)), *out++ = (char)(0x80 | (c & 63));
	}
	return out;
}

/* A string, in place: what it stands for is never longer. NULL: it is none. */
static char *string(char **at)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	char *in = *at, *out = in + 1, *start = out;
	if (*in++ != '"')
		return NULL;
	while (*in != '"') {
		if ((unsigned char)*in < ' ')
			return NULL;
		if (*in != '\\') {
			*out++ = *in++;
			continue;
		}
		const char *name = in[1] ? strchr(names, in[1]) : NULL;
		if (name) {
			*out++ = values[name - names];
			in += 2;
			continue;
		}
		long c = in[1] == 'u' && strlen(in) >= 6 ? hex4(in + 2) : -1;
		if (c <= 0)
			return NULL;
		in += 6;
		if (c >= 0xd800 && c < 0xdc00) {
			long low = in[0] == '\\' && in[1] == 'u' && strlen(in) >= 6 ? hex4(in + 2) : -1;
			if (low < 0xdc00 || low > 0xdfff)
				return NULL;
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			in += 6;
		}
		out = put_utf8(out, (unsigned long)c);
	}
	*at = in + 1;
	*out = 0;
	return start;
}

static char **list(char **at, struct message *m)
{
	char **first = &m->words[m->used];
	++*at;
	while (**at != ']') {
		if (m->used >= WORDS - 2 || !(m->words[m->used++] = string(at)))
			return NULL;
		if (**at == ',')
			++*at;
		else if (**at != ']')
			return NULL;
	}
	++*at;
	m->words[m->used++] = NULL;
	return first;
}

bool parse(char *line, struct message *m)
{
	char *at = line;
	m->count = m->used = 0;
	if (*at++ != '{')
		return false;
	while (*at != '}') {
		if (m->count == FIELDS)
			return false;
		char *key = string(&at), *text = NULL, **words = NULL;
		long number = 0;
		if (!key || *at++ != ':')
			return false;
		if (*at == '"')
			text = string(&at);
		else if (*at == '[')
			words = list(&at, m);
		else
			number = strtol(at, &at, 10);
		m->fields[m->count].key = key;
		m->fields[m->count].text = text;
		m->fields[m->count].list = words;
		m->fields[m->count++].number = number;
		if (*at == ',')
			at++;
		else if (*at != '}')
			return false;
	}
	return at[1] == 0;
}

char *text_of(const struct message *m, const char *key)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->fields[i].key, key))
			return m->fields[i].text;
	return NULL;
}

long number_of(const struct message *m, const char *key)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->fields[i].key, key))
			return m->fields[i].number;
	return 0;
}

char **list_of(const struct message *m, const char *key)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->fields[i].key, key))
			return m->fields[i].list;
	return NULL;
}
