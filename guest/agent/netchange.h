/* Changes of one link, each acknowledged by the kernel; and a whole set-up, that is undone when a part of it fails. */
#ifndef HP_NETCHANGE_H
#define HP_NETCHANGE_H

#include "net.h"

#define ADDRESSES_MAX 64

/* What SETUPINTERFACE asks for. */
struct wish {
	char mac[18], device[IFNAMSIZ], name[IFNAMSIZ]; /* empty: not given */
	uint32_t mtu; /* 0: as it is */
	struct ip add[ADDRESSES_MAX], remove[ADDRESSES_MAX];
	size_t add_count, remove_count;
	uint32_t timeout_ms;
};

bool net_set_up(int index, bool up, struct failure *f);
bool net_change_address(int index, const struct ip *ip, bool add, struct failure *f);
/* Changes the link as wished; on success its state is written to `out`. */
bool net_setup_link(const struct net_link *link, const struct wish *wish, struct writer *out, struct failure *f);
/* What was read back is not what was asked. False. */
bool net_differs(struct failure *f, const char *what);

#endif
