/* Netlink: requests built, sent, and their answers parsed strictly (the fuzzer feeds nl_parse()). */
#ifndef HP_NETLINK_H
#define HP_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "util.h"

struct nl_message {
	uint8_t data[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	size_t length;
	bool overflow;
};

void nl_start(struct nl_message *m, uint16_t type, uint16_t flags, const void *header, size_t length);
void nl_attr(struct nl_message *m, uint16_t type, const void *data, size_t length);
void nl_attr_u32(struct nl_message *m, uint16_t type, uint32_t value);

/* One message of an answer, `length` being what follows its nlmsghdr. */
typedef void nl_callback(void *arg, const struct nlmsghdr *h, const uint8_t *payload, size_t length);

enum nl_state { NL_MORE, NL_DONE, NL_FAILED };

struct nl_error {
	int err; /* positive errno */
	char text[128]; /* the kernel's own words, or empty */
	bool interrupted; /* a dump during which things changed: it has to be repeated */
};

enum nl_state nl_parse(const uint8_t *data, size_t length, uint32_t sequence, nl_callback *each, void *arg,
		       struct nl_error *error);

/* Attributes by type; those beyond `max` are left out. */
void nl_attributes(const uint8_t *data, size_t length, const struct rtattr **table, unsigned max);
/* The attribute's content if it has at least `length` bytes. */
const void *nl_content(const struct rtattr *a, size_t length);
#define nl_content_length(a) ((size_t)(a)->rta_len - RTA_LENGTH(0))

/* Sends to the routing family, awaits the kernel's acknowledgement. `what` begins the reason of a failure. */
bool nl_request(struct nl_message *m, const char *what, struct failure *f);
/* Calls `restart` before each attempt: a dump may be interrupted. */
bool nl_dump(struct nl_message *m, nl_callback *each, void (*restart)(void *), void *arg, struct failure *f);
bool nl_genl_family(struct nl_message *m, uint16_t *family, uint32_t *group, struct failure *f);

#endif
