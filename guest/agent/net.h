/* The guest's links, addresses and routes: read, changed, put back. */
#ifndef HP_NET_H
#define HP_NET_H

#include <net/if.h>

#include "agent.h"
#include "netlink.h"

#define MAC_MAX 20 /* InfiniBand's; Ethernet's has 6 bytes */
#define RAW_MAX 384

struct ip {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t prefix;
	uint8_t bytes[16];
};

struct net_link {
	int index;
	char name[IFNAMSIZ];
	uint8_t mac[MAC_MAX];
	size_t mac_length;
	uint32_t mtu, flags;
};

struct net_address {
	int index;
	struct ip ip;
	uint32_t flags;
	uint8_t scope;
	/* The kernel's own description, to put it back: ifaddrmsg and attributes. */
	uint8_t raw[RAW_MAX];
	size_t raw_length;
};

struct net_route {
	struct ip destination;
	struct ip gateway; /* family 0: none */
	int index; /* 0: none */
	uint32_t metric;
	uint8_t protocol, type;
	bool main_table;
	uint8_t raw[RAW_MAX];
	size_t raw_length;
};

struct net_list {
	void *items;
	size_t count, cap, size; /* of one item */
	bool failed; /* out of memory */
};
#define net_at(list, type, i) (&((type *)(list)->items)[i])

void net_list_free(struct net_list *list);
bool net_read_links(struct net_list *list, struct failure *f);
/* Of one link; index 0: of all. */
bool net_read_addresses(struct net_list *list, int index, struct failure *f);
/* Unicast routes of all tables but the local one; of one link, or (0) of all. */
bool net_read_routes(struct net_list *list, int index, struct failure *f);

size_t ip_length(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/* `10.0.0.1` or `fd00::1`, the prefix being that of a host. */
bool ip_parse(const char *text, struct ip *ip);
void ip_format(const struct ip *ip, char *text, size_t size);
#define IP_TEXT 64
bool mac_parse(const char *text, uint8_t mac[6]);
void mac_format(const struct net_link *link, char *text, size_t size);

void write_link(struct writer *w, const struct net_link *link, const struct net_list *addresses);

/* By MAC if given, else by name. False: not there (`f` untouched when it could be read: f->code NULL). */
bool net_find_link(const char *mac, const char *device, struct net_link *link, struct failure *f);

/* What the kernel described is made again; what is there already is right. */
bool net_restore_address(const struct net_address *a, struct failure *f);
bool net_restore_routes(const struct net_list *routes, struct failure *f);

/* An Interface object: SETUPINTERFACE without waiting, for STARTPOD. */
bool net_setup_now(const struct json *doc, uint32_t node, struct failure *f);
bool net_add_routes(const struct json *doc, uint32_t list, struct failure *f);
/* Loopback up. */
void net_loopback_up(void);

#endif
