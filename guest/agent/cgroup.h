/* A control group for each container, for what it has used. A guest without them counts nothing. */
#ifndef HP_CGROUP_H
#define HP_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

void cgroup_make(const char *container);
/* The calling process, and all it starts. */
void cgroup_enter(const char *container);
/* When nothing is in it any more; until then it stays. */
void cgroup_remove(const char *container);

struct cgroup_usage {
	uint64_t cpu_us, memory_bytes, processes;
};
bool cgroup_read(const char *container, struct cgroup_usage *usage);

#endif
