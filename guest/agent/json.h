/* A strict JSON parser without recursion, bounded in depth, size and nodes, and decoding by the protocol's tables. */
#ifndef HP_JSON_H
#define HP_JSON_H

#include "protocol.gen.h"
#include "util.h"

#define JSON_DEPTH_MAX 16
#define JSON_NODES_MAX 65536
#define JSON_MEMBERS_MAX 256

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INTEGER, JSON_FRACTION, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_node {
	uint8_t type;
	bool negative; /* of an integer */
	uint32_t next; /* sibling; 0: none (the root is nobody's sibling or child) */
	uint32_t child; /* first */
	uint32_t count; /* of children */
	const char *key; /* of an object's member */
	const char *string; /* decoded, NUL-terminated, without NUL inside */
	uint64_t integer; /* magnitude */
};

struct json {
	struct json_node *nodes;
	uint32_t count, cap;
};

/*
 * Parses `text`, which is changed: strings are decoded in place and the nodes point into it. With `end` NULL nothing may
 * follow the value; else `*end` is where it ended. On false `f` says why; json_free() is right in both cases.
 */
bool json_parse(struct json *doc, char *text, size_t length, size_t *end, struct failure *f);
void json_free(struct json *doc);

/* A field's value as its table says; `node` for lists, objects and HP_ANY. */
struct hp_value {
	bool present;
	uint64_t number;
	const char *string;
	uint32_t node;
};

/* Checks the object at `node` against the table: types, missing fields, unknown fields. null is as if absent. */
bool json_decode(const struct json *doc, uint32_t node, const struct hp_schema *schema, struct hp_value *out,
		 struct failure *f);

#define JSON_EACH(doc, list, n) \
	for (uint32_t n = (list) != 0 ? (doc)->nodes[list].child : 0; n != 0; n = (doc)->nodes[n].next)

#endif
