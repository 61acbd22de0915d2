/* How a JSON object of the protocol is described; the tables are in protocol.gen.h. */
#ifndef HP_SCHEMA_H
#define HP_SCHEMA_H

#include <stdint.h>

enum hp_kind { HP_STRING, HP_U32, HP_U64, HP_BOOL, HP_OBJECT, HP_ANY };

struct hp_schema;

struct hp_field {
	const char *name;
	uint8_t kind;
	uint8_t list;
	uint8_t optional;
	const struct hp_schema *of;
};

struct hp_schema {
	const char *name;
	const struct hp_field *fields;
	unsigned count;
};

#endif
