/* The root file system of a container, as its first process makes it for itself. */
#ifndef HP_CONROOT_H
#define HP_CONROOT_H

#include <limits.h>

#include "storage.h"

#define SHARE_POINT "/tmp/hyper/shared"

struct conroot {
	const struct json *doc;
	const char *id;
	struct fs_source base, layer;
	char path[PATH_MAX]; /* base.path of an original client's request */
	const char *hostname; /* NULL: the pod's */
	bool pod_etc;
	bool read_only; /* the root itself, without a layer */
	uint32_t mounts, fsmap, sysctl; /* nodes of `doc`; 0: none */
};

/* From a Container object's fields. */
bool conroot_read(struct conroot *root, const struct hp_value *v, struct failure *f);
/* In the new namespaces: mounts, and makes it the root. No descriptor but the standard ones and `*keep` stays open. */
bool conroot_enter(const struct conroot *root, int *keep, struct failure *f);
void conroot_reap(void);

#endif
