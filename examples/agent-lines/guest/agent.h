/* What the agent needs of text: growing buffers, base64, and JSON objects that are flat. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct buffer {
	char *data;
	size_t length, capacity;
};

void add(struct buffer *b, const void *bytes, size_t n);
void append(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void consume(struct buffer *b, size_t n);
void release(struct buffer *b);
/* To descriptor 1; false: nobody reads any more. With `wait` all of it. */
bool flush(struct buffer *b, int wait);

void base64_encode(const unsigned char *bytes, size_t n, char *text);
/* -1: it is not, or does not fit. */
ssize_t base64_decode(const char *text, unsigned char *bytes, size_t room);
/* Printable ASCII that stands for itself in JSON. */
bool is_plain(const char *text);

enum { FIELDS = 12, WORDS = 1024 };

struct message {
	struct {
		char *key, *text;
		long number;
		char **list;
	} fields[FIELDS];
	int count;
	char *words[WORDS];
	int used;
};

/* An object of texts, integers and lists of texts; `line` is cut into pieces. False: it is not. */
bool parse(char *line, struct message *m);
char *text_of(const struct message *m, const char *key);
long number_of(const struct message *m, const char *key);
char **list_of(const struct message *m, const char *key);
