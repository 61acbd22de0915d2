/* Any bytes through the JSON parser and every table of the protocol. */
#include <stdlib.h>
#include <string.h>

#include "../json.h"

static const struct hp_schema *const schemas[] = {
	&hp_schema_Hello,   &hp_schema_Interface, &hp_schema_Routes,	     &hp_schema_StartPod, &hp_schema_Exec,
	&hp_schema_Process, &hp_schema_File,	  &hp_schema_Container, &hp_schema_Address,  &hp_schema_Route,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	size_t end = 0;
	struct json doc;
	struct failure f;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	/* Exactly `size` bytes belong to the parser: the sanitizer sees any step beyond. */
	text = realloc(text, size > 0 ? size : 1);
	if (json_parse(&doc, text, size, size > 0 && data[0] == '{' ? &end : NULL, &f)) {
		struct hp_value v[16];

		if (end > size)
			abort();
		for (uint32_t i = 0; i < doc.count; i++) {
			const struct json_node *n = &doc.nodes[i];

			if (n->type == JSON_STRING && (n->string < text || n->string + strlen(n->string) >= text + size))
				abort();
			for (size_t s = 0; n->type == JSON_OBJECT && s < COUNT_OF(schemas); s++)
				json_decode(&doc, i, schemas[s], v, &f);
		}
	} else {
		struct writer w = { 0 };

		write_failure(&w, &f);
		queue_free(&w.q);
	}
	json_free(&doc);
	free(text);
	return 0;
}
