/* JSON objects checked against the tables of the protocol. */
#define HP_DEFINE_SCHEMAS
#include <string.h>

#include "json.h"

static const char *type_name(const struct json_node *n)
{
	static const char *const names[] = { "null",	 "boolean", "boolean", "integer",
					     "fraction", "string",  "array",   "object" };

	return names[n->type];
}

static bool wrong_type(struct failure *f, const struct hp_schema *schema, const struct hp_field *field,
		       const struct json_node *n)
{
	static const char *const words[] = { "a string", "a number from 0 to 4294967295", "a number from 0 to 2^64-1",
					     "a boolean", "an object", "a value" };

	return fail(f, HP_E_INVALID, 0, field->name, "%s.%s: expected %s, got %s%s", schema->name, field->name,
		    words[field->kind], n->negative ? "a negative " : "", type_name(n));
}

static bool check_kind(const struct hp_field *field, const struct json_node *n)
{
	switch (field->kind) {
	case HP_STRING:
		return n->type == JSON_STRING;
	case HP_U32:
		return n->type == JSON_INTEGER && !n->negative && n->integer <= UINT32_MAX;
	case HP_U64:
		return n->type == JSON_INTEGER && !n->negative;
	case HP_BOOL:
		return n->type == JSON_TRUE || n->type == JSON_FALSE;
	case HP_OBJECT:
		return n->type == JSON_OBJECT;
	default:
		return true;
	}
}

static bool decode_field(const struct json *doc, uint32_t node, const struct hp_schema *schema,
			 const struct hp_field *field, struct hp_value *value, struct failure *f)
{
	const struct json_node *n = &doc->nodes[node];

	if (n->type == JSON_NULL)
		return true;
	value->present = true;
	value->node = node;
	if (field->list) {
		if (n->type != JSON_ARRAY)
			return fail(f, HP_E_INVALID, 0, field->name, "%s.%s: expected an array, got %s", schema->name,
				    field->name, type_name(n));
		JSON_EACH(doc, node, item)
			if (!check_kind(field, &doc->nodes[item]))
				return wrong_type(f, schema, field, &doc->nodes[item]);
		return true;
	}
	if (!check_kind(field, n))
		return wrong_type(f, schema, field, n);
	value->string = n->string;
	value->number = n->type == JSON_TRUE ? 1 : n->integer;
	return true;
}

bool json_decode(const struct json *doc, uint32_t node, const struct hp_schema *schema, struct hp_value *out,
		 struct failure *f)
{
	unsigned i;

	memset(out, 0, schema->count * sizeof(*out));
	if (doc->nodes[node].type != JSON_OBJECT)
		return fail(f, HP_E_INVALID, 0, NULL, "%s: expected an object, got %s", schema->name,
			    type_name(&doc->nodes[node]));
	for (uint32_t n = doc->nodes[node].child; n != 0; n = doc->nodes[n].next) {
		for (i = 0; i < schema->count; i++)
			if (strcmp(schema->fields[i].name, doc->nodes[n].key) == 0)
				break;
		if (i == schema->count)
			return fail(f, HP_E_INVALID, 0, doc->nodes[n].key, "%s: no field is called %.64s", schema->name,
				    doc->nodes[n].key);
		if (!decode_field(doc, n, schema, &schema->fields[i], &out[i], f))
			return false;
	}
	for (i = 0; i < schema->count; i++)
		if (!out[i].present && !schema->fields[i].optional)
			return fail(f, HP_E_INVALID, 0, schema->fields[i].name, "%s.%s is missing", schema->name,
				    schema->fields[i].name);
	return true;
}
