#include "json.h"

#include <stdlib.h>
#include <string.h>

struct parser {
	struct json *doc;
	char *text;
	size_t pos, length;
	struct failure *f;
};

static bool bad(struct parser *p, const char *what)
{
	return fail(p->f, HP_E_INVALID, 0, NULL, "JSON, byte %zu: %s", p->pos, what);
}

static int peek(const struct parser *p)
{
	return p->pos < p->length ? (unsigned char)p->text[p->pos] : -1;
}

static void skip_space(struct parser *p)
{
	while (p->pos < p->length && memchr(" \t\r\n", p->text[p->pos], 4) != NULL)
		p->pos++;
}

static bool hex4(struct parser *p, uint32_t *out)
{
	uint32_t value = 0;
	int i;

	if (p->length - p->pos < 4)
		return bad(p, "short \\u escape");
	for (i = 0; i < 4; i++) {
		int c = (unsigned char)p->text[p->pos++];
		int digit = c >= '0' && c <= '9'   ? c - '0' :
			    c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			    c >= 'A' && c <= 'F' ? c - 'A' + 10 :
						   -1;

		if (digit < 0)
			return bad(p, "\\u escape without four hexadecimal digits");
		value = value << 4 | (uint32_t)digit;
	}
	*out = value;
	return true;
}

static size_t encode_utf8(char *to, uint32_t code)
{
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		to[0] = (char)(0xc0 | code >> 6);
		to[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		to[0] = (char)(0xe0 | code >> 12);
		to[1] = (char)(0x80 | (code >> 6 & 0x3f));
		to[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | code >> 18);
	to[1] = (char)(0x80 | (code >> 12 & 0x3f));
	to[2] = (char)(0x80 | (code >> 6 & 0x3f));
	to[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* After the 'u'. A pair of surrogates is one character; one alone is none. */
static bool unicode_escape(struct parser *p, uint32_t *code)
{
	uint32_t low;

	if (!hex4(p, code))
		return false;
	if (*code == 0)
		return bad(p, "NUL in a string");
	if (*code >= 0xdc00 && *code < 0xe000)
		return bad(p, "half a surrogate pair");
	if (*code < 0xd800 || *code >= 0xe000)
		return true;
	if (p->length - p->pos < 2 || p->text[p->pos] != '\\' || p->text[p->pos + 1] != 'u')
		return bad(p, "half a surrogate pair");
	p->pos += 2;
	if (!hex4(p, &low))
		return false;
	if (low < 0xdc00 || low >= 0xe000)
		return bad(p, "half a surrogate pair");
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

/* One character above 0x7f, checked: no overlong form, no surrogate, nothing above 0x10ffff. */
static bool copy_utf8(struct parser *p, char *to, size_t *written)
{
	unsigned char c = (unsigned char)p->text[p->pos];
	size_t n = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t i;

	if (n == 0 || p->length - p->pos < n)
		return bad(p, "not UTF-8");
	code = c & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		unsigned char next = (unsigned char)p->text[p->pos + i];

		if ((next & 0xc0) != 0x80)
			return bad(p, "not UTF-8");
		code = code << 6 | (next & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return bad(p, "not UTF-8");
	memmove(to, p->text + p->pos, n);
	p->pos += n;
	*written = n;
	return true;
}

/* At the opening quote. The decoded text is never longer than the encoded, so it is written over it. */
static bool parse_string(struct parser *p, const char **out)
{
	char *to = p->text + ++p->pos;

	*out = to;
	for (;;) {
		int c = peek(p);
		size_t n = 0;

		if (c < 0)
			return bad(p, "unterminated string");
		if (c == '"')
			break;
		if (c < 0x20)
			return bad(p, "control character in a string");
		if (c >= 0x80) {
			if (!copy_utf8(p, to, &n))
				return false;
			to += n;
		} else if (c != '\\') {
			*to++ = (char)c;
			p->pos++;
		} else {
			static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
			const char *found;
			uint32_t code;

			p->pos++;
			c = peek(p);
			if (c == 'u') {
				p->pos++;
				if (!unicode_escape(p, &code))
					return false;
				to += encode_utf8(to, code);
				continue;
			}
			found = c > 0 ? strchr(from, c) : NULL;
			if (found == NULL)
				return bad(p, "unknown escape");
			*to++ = into[found - from];
			p->pos++;
		}
	}
	p->pos++;
	*to = 0;
	return true;
}

static bool digits(struct parser *p)
{
	size_t start = p->pos;

	while (peek(p) >= '0' && peek(p) <= '9')
		p->pos++;
	return p->pos > start || bad(p, "a digit is missing");
}

/* Integers keep their 64 bits; other numbers are only checked: the protocol has none. */
static bool parse_number(struct parser *p, struct json_node *node)
{
	size_t start, i;

	node->negative = peek(p) == '-';
	if (node->negative)
		p->pos++;
	start = p->pos;
	if (!digits(p))
		return false;
	if (p->text[start] == '0' && p->pos > start + 1)
		return bad(p, "a number with a leading zero");
	node->type = JSON_INTEGER;
	for (i = start; i < p->pos; i++) {
		uint64_t digit = (uint64_t)(p->text[i] - '0');

		if (node->integer > (UINT64_MAX - digit) / 10) {
			node->type = JSON_FRACTION;
			break;
		}
		node->integer = node->integer * 10 + digit;
	}
	if (peek(p) == '.') {
		p->pos++;
		node->type = JSON_FRACTION;
		if (!digits(p))
			return false;
	}
	if (peek(p) == 'e' || peek(p) == 'E') {
		p->pos++;
		node->type = JSON_FRACTION;
		if (peek(p) == '+' || peek(p) == '-')
			p->pos++;
		if (!digits(p))
			return false;
	}
	return true;
}

static bool new_node(struct parser *p, uint32_t *index)
{
	struct json *doc = p->doc;

	if (doc->count == doc->cap) {
		uint32_t cap = doc->cap > 0 ? doc->cap * 2 : 32;
		struct json_node *nodes;

		if (doc->count >= JSON_NODES_MAX)
			return fail(p->f, HP_E_LIMIT, 0, NULL, "JSON: more than %d values", JSON_NODES_MAX);
		nodes = realloc(doc->nodes, cap * sizeof(*nodes));
		if (nodes == NULL)
			return fail(p->f, HP_E_LIMIT, 0, NULL, "out of memory");
		doc->nodes = nodes;
		doc->cap = cap;
	}
	*index = doc->count++;
	memset(&doc->nodes[*index], 0, sizeof(doc->nodes[0]));
	return true;
}

static bool parse_word(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	if (p->length - p->pos < n || memcmp(p->text + p->pos, word, n) != 0)
		return bad(p, "not a value");
	p->pos += n;
	return true;
}

/* A scalar whole, or the opening bracket of an array or object. */
static bool parse_start(struct parser *p, uint32_t index)
{
	struct json_node *node = &p->doc->nodes[index];

	switch (peek(p)) {
	case '{':
	case '[':
		node->type = p->text[p->pos++] == '{' ? JSON_OBJECT : JSON_ARRAY;
		return true;
	case '"':
		node->type = JSON_STRING;
		return parse_string(p, &node->string);
	case 't':
		node->type = JSON_TRUE;
		return parse_word(p, "true");
	case 'f':
		node->type = JSON_FALSE;
		return parse_word(p, "false");
	case 'n':
		node->type = JSON_NULL;
		return parse_word(p, "null");
	case '-':
	case '0' ... '9':
		return parse_number(p, node);
	default:
		return bad(p, "not a value");
	}
}

static bool check_key(struct parser *p, uint32_t object, const char *key)
{
	if (p->doc->nodes[object].count >= JSON_MEMBERS_MAX)
		return fail(p->f, HP_E_LIMIT, 0, NULL, "JSON: more than %d members in an object", JSON_MEMBERS_MAX);
	for (uint32_t n = p->doc->nodes[object].child; n != 0; n = p->doc->nodes[n].next)
		if (strcmp(p->doc->nodes[n].key, key) == 0)
			return bad(p, "a key twice");
	return true;
}

struct level {
	uint32_t node, last;
};

/* `"key":` of a member, where the level is an object. */
static bool parse_key(struct parser *p, uint32_t object, const char **key)
{
	*key = NULL;
	if (p->doc->nodes[object].type != JSON_OBJECT)
		return true;
	if (peek(p) != '"')
		return bad(p, "a key is missing");
	if (!parse_string(p, key) || !check_key(p, object, *key))
		return false;
	skip_space(p);
	if (peek(p) != ':')
		return bad(p, "':' is missing");
	p->pos++;
	skip_space(p);
	return true;
}

static bool parse_value(struct parser *p)
{
	struct level stack[JSON_DEPTH_MAX];
	unsigned depth = 0;
	uint32_t index;

	skip_space(p);
	if (!new_node(p, &index) || !parse_start(p, index))
		return false;
	if (p->doc->nodes[index].type < JSON_ARRAY)
		return true;
	stack[depth++] = (struct level){ index, 0 };
	while (depth > 0) {
		struct level *top = &stack[depth - 1];
		bool object = p->doc->nodes[top->node].type == JSON_OBJECT;
		const char *key;

		skip_space(p);
		if (peek(p) == (object ? '}' : ']')) {
			p->pos++;
			depth--;
			continue;
		}
		if (p->doc->nodes[top->node].count > 0) {
			if (peek(p) != ',')
				return bad(p, "',' is missing");
			p->pos++;
			skip_space(p);
		}
		if (!parse_key(p, top->node, &key) || !new_node(p, &index))
			return false;
		p->doc->nodes[index].key = key;
		if (!parse_start(p, index))
			return false;
		if (top->last != 0)
			p->doc->nodes[top->last].next = index;
		else
			p->doc->nodes[top->node].child = index;
		top->last = index;
		p->doc->nodes[top->node].count++;
		if (p->doc->nodes[index].type >= JSON_ARRAY) {
			if (depth == JSON_DEPTH_MAX)
				return fail(p->f, HP_E_LIMIT, 0, NULL, "JSON: more than %d levels", JSON_DEPTH_MAX);
			stack[depth++] = (struct level){ index, 0 };
		}
	}
	return true;
}

bool json_parse(struct json *doc, char *text, size_t length, size_t *end, struct failure *f)
{
	struct parser p = { .doc = doc, .text = text, .length = length, .f = f };

	memset(doc, 0, sizeof(*doc));
	if (length > HP_JSON_MAX_BYTES && end == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "JSON: more than %u bytes", HP_JSON_MAX_BYTES);
	if (!parse_value(&p))
		return false;
	if (end != NULL) {
		*end = p.pos;
		return true;
	}
	skip_space(&p);
	return p.pos == length || bad(&p, "something follows the value");
}

void json_free(struct json *doc)
{
	free(doc->nodes);
	memset(doc, 0, sizeof(*doc));
}
