/* File systems: disks by serial, shares by tag, and the kernel's modules for them. For children: what is here may wait. */
#ifndef HP_STORAGE_H
#define HP_STORAGE_H

#include "agent.h"

/* A FileSystem object's fields, pointing into the request. */
struct fs_source {
	const char *kind, *disk, *type, *tag, *path;
	uint32_t size_mib; /* 0: the kernel's own limit */
};

/* `kinds`: those that are allowed here, between spaces: " disk share ". */
bool fs_source_read(struct fs_source *s, const struct json *doc, uint32_t node, const char *kinds, struct failure *f);
/* On a directory (or of a `directory` source that is a file: on a file). */
bool fs_mount(const struct fs_source *s, const char *target, bool read_only, struct failure *f);
/* A mount, with all that is mounted below it. */
bool fs_read_only(const char *target, struct failure *f);
/* Loads what `name` needs, if the kernel's modules are listed and have it. */
void module_need(const char *name);
void module_load(const char *path);
/* With what is missing of its parents. */
bool make_dirs(const char *path, mode_t mode);
/* The nth value of `name=value` on the kernel's command line, from 0; of a bare word it is empty. */
bool command_line_value(const char *name, unsigned nth, char *value, size_t size);

#endif
