/* Links, addresses and routes as the kernel tells them (rtnetlink(7)). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define LIST_MAX 16384

void net_list_free(struct net_list *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

static void list_restart(void *arg)
{
	((struct net_list *)arg)->count = 0;
}

static void *list_add(struct net_list *list)
{
	if (list->count == list->cap) {
		size_t cap = list->cap > 0 ? list->cap * 2 : 8;
		void *items = cap <= LIST_MAX ? realloc(list->items, cap * list->size) : NULL;

		if (items == NULL) {
			list->failed = true;
			return NULL;
		}
		list->items = items;
		list->cap = cap;
	}
	memset((uint8_t *)list->items + list->count * list->size, 0, list->size);
	return (uint8_t *)list->items + list->count++ * list->size;
}

static bool dump(struct nl_message *m, nl_callback *each, struct net_list *list, size_t size, struct failure *f)
{
	memset(list, 0, sizeof(*list));
	list->size = size;
	if (nl_dump(m, each, list_restart, list, f) && !list->failed)
		return true;
	if (list->failed)
		fail(f, HP_E_LIMIT, ENOMEM, NULL, "reading the network");
	net_list_free(list);
	return false;
}

static void link_read(void *arg, const struct nlmsghdr *h, const uint8_t *payload, size_t length)
{
	const struct ifinfomsg *info = (const void *)payload;
	const struct rtattr *table[IFLA_MTU + 1];
	struct net_link *link;
	const uint32_t *mtu;
	const char *name;

	if (h->nlmsg_type != RTM_NEWLINK || length < sizeof(*info))
		return;
	nl_attributes(payload + NLMSG_ALIGN(sizeof(*info)), length - sizeof(*info), table, IFLA_MTU);
	name = nl_content(table[IFLA_IFNAME], 1);
	mtu = nl_content(table[IFLA_MTU], sizeof(*mtu));
	if (name == NULL || mtu == NULL || (link = list_add(arg)) == NULL)
		return;
	link->index = info->ifi_index;
	link->flags = info->ifi_flags;
	link->mtu = *mtu;
	snprintf(link->name, sizeof(link->name), "%.*s", (int)nl_content_length(table[IFLA_IFNAME]), name);
	if (table[IFLA_ADDRESS] != NULL && nl_content_length(table[IFLA_ADDRESS]) <= MAC_MAX) {
		link->mac_length = nl_content_length(table[IFLA_ADDRESS]);
		memcpy(link->mac, RTA_DATA(table[IFLA_ADDRESS]), link->mac_length);
	}
}

bool net_read_links(struct net_list *list, struct failure *f)
{
	struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
	struct nl_message m;

	nl_start(&m, RTM_GETLINK, 0, &all, sizeof(all));
	return dump(&m, link_read, list, sizeof(struct net_link), f);
}

/* Without what the kernel counts by itself, so that it can be sent back. */
static size_t keep_raw(uint8_t *raw, const uint8_t *payload, size_t length, size_t header, uint16_t drop)
{
	size_t kept = NLMSG_ALIGN(header), at = NLMSG_ALIGN(header);

	if (length < at || at > RAW_MAX)
		return 0;
	memcpy(raw, payload, at);
	while (length - at >= sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)(payload + at);
		size_t step = RTA_ALIGN(a->rta_len);

		if (a->rta_len < sizeof(*a) || a->rta_len > length - at)
			break;
		if ((a->rta_type & NLA_TYPE_MASK) != drop) {
			if (kept + step > RAW_MAX)
				return 0;
			memset(raw + kept, 0, step);
			memcpy(raw + kept, a, a->rta_len);
			kept += step;
		}
		if (step >= length - at)
			break;
		at += step;
	}
	return kept;
}

static bool ip_from(struct ip *ip, uint8_t family, uint8_t prefix, const struct rtattr *a)
{
	const void *bytes;

	if (family != AF_INET && family != AF_INET6)
		return false;
	ip->family = family;
	ip->prefix = prefix;
	bytes = nl_content(a, ip_length(ip));
	if (bytes == NULL)
		return false;
	memcpy(ip->bytes, bytes, ip_length(ip));
	return true;
}


static void address_read(void *arg, const struct nlmsghdr *h, const uint8_t *payload, size_t length)
{
	const struct ifaddrmsg *info = (const void *)payload;
	const struct rtattr *table[IFA_FLAGS + 1];
	struct net_address *a;
	const uint32_t *flags;
	struct ip ip = { 0 };

	if (h->nlmsg_type != RTM_NEWADDR || length < sizeof(*info))
		return;
	nl_attributes(payload + NLMSG_ALIGN(sizeof(*info)), length - sizeof(*info), table, IFA_FLAGS);
	/* IFA_ADDRESS is the peer's on a point-to-point link; IFA_LOCAL, where it is told, is ours. */
	if (!ip_from(&ip, info->ifa_family, info->ifa_prefixlen,
		     table[IFA_LOCAL] != NULL ? table[IFA_LOCAL] : table[IFA_ADDRESS]) ||
	    (a = list_add(arg)) == NULL)
		return;
	a->index = (int)info->ifa_index;
	a->ip = ip;
	a->scope = info->ifa_scope;
	flags = nl_content(table[IFA_FLAGS], sizeof(*flags));
	a->flags = flags != NULL ? *flags : info->ifa_flags;
	a->raw_length = keep_raw(a->raw, payload, length, sizeof(*info), IFA_CACHEINFO);
}

/* Keeps the items that `keep` wants. */
static void filter(struct net_list *list, int index, int (*index_of)(const void *))
{
	size_t kept = 0;

	for (size_t i = 0; index != 0 && i < list->count; i++) {
		uint8_t *item = (uint8_t *)list->items + i * list->size;

		if (index_of(item) == index)
			memmove((uint8_t *)list->items + kept++ * list->size, item, list->size);
	}
	if (index != 0)
		list->count = kept;
}

static int address_index(const void *item)
{
	return ((const struct net_address *)item)->index;
}

static int route_index(const void *item)
{
	return ((const struct net_route *)item)->index;
}

bool net_read_addresses(struct net_list *list, int index, struct failure *f)
{
	struct ifaddrmsg all = { .ifa_family = AF_UNSPEC };
	struct nl_message m;

	nl_start(&m, RTM_GETADDR, 0, &all, sizeof(all));
	if (!dump(&m, address_read, list, sizeof(struct net_address), f))
		return false;
	filter(list, index, address_index);
	return true;
}

static void gateway_from(struct net_route *r, const struct rtattr *plain, const struct rtattr *via)
{
	const struct rtvia *v = nl_content(via, sizeof(*v));
	uint8_t host = r->destination.family == AF_INET ? 32 : 128;

	if (ip_from(&r->gateway, r->destination.family, host, plain))
		return;
	memset(&r->gateway, 0, sizeof(r->gateway));
	/* An IPv4 route through an IPv6 gateway (RFC 5549) */
	if (v != NULL && v->rtvia_family == AF_INET6 && nl_content_length(via) >= sizeof(*v) + 16) {
		r->gateway.family = AF_INET6;
		r->gateway.prefix = 128;
		memcpy(r->gateway.bytes, v->rtvia_addr, 16);
	}
}

/* A route with several next hops is told as one route each. */
static void read_multipath(struct net_list *list, const struct net_route *route, const struct rtattr *a)
{
	const uint8_t *at = RTA_DATA(a);
	size_t left = nl_content_length(a);

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const void *)at;
		const struct rtattr *table[RTA_VIA + 1];
		struct net_route *r;

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left || (r = list_add(list)) == NULL)
			return;
		*r = *route;
		r->index = hop->rtnh_ifindex;
		nl_attributes(at + sizeof(*hop), hop->rtnh_len - sizeof(*hop), table, RTA_VIA);
		gateway_from(r, table[RTA_GATEWAY], table[RTA_VIA]);
		if ((size_t)RTNH_ALIGN(hop->rtnh_len) >= left)
			return;
		at += (size_t)RTNH_ALIGN(hop->rtnh_len);
		left -= (size_t)RTNH_ALIGN(hop->rtnh_len);
	}
}

static void route_read(void *arg, const struct nlmsghdr *h, const uint8_t *payload, size_t length)
{
	const struct rtmsg *info = (const void *)payload;
	const struct rtattr *table[RTA_VIA + 1];
	const uint32_t *number;
	struct net_route route = { 0 }, *r;
	uint32_t rt_table;

	if (h->nlmsg_type != RTM_NEWROUTE || length < sizeof(*info) || (info->rtm_flags & RTM_F_CLONED) ||
	    (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
		return;
	nl_attributes(payload + NLMSG_ALIGN(sizeof(*info)), length - sizeof(*info), table, RTA_VIA);
	number = nl_content(table[RTA_TABLE], sizeof(*number));
	rt_table = number != NULL ? *number : info->rtm_table;
	if (info->rtm_type != RTN_UNICAST || rt_table == RT_TABLE_LOCAL)
		return;
	route.destination.family = info->rtm_family;
	route.destination.prefix = info->rtm_dst_len;
	if (info->rtm_dst_len > 0 && !ip_from(&route.destination, info->rtm_family, info->rtm_dst_len, table[RTA_DST]))
		return;
	number = nl_content(table[RTA_PRIORITY], sizeof(*number));
	route.metric = number != NULL ? *number : 0;
	number = nl_content(table[RTA_OIF], sizeof(*number));
	route.index = number != NULL ? (int)*number : 0;
	route.protocol = info->rtm_protocol;
	route.type = info->rtm_type;
	route.main_table = rt_table == RT_TABLE_MAIN;
	route.raw_length = keep_raw(route.raw, payload, length, sizeof(*info), RTA_CACHEINFO);
	if (table[RTA_MULTIPATH] != NULL) {
		read_multipath(arg, &route, table[RTA_MULTIPATH]);
		return;
	}
	gateway_from(&route, table[RTA_GATEWAY], table[RTA_VIA]);
	if ((r = list_add(arg)) != NULL)
		*r = route;
}

bool net_read_routes(struct net_list *list, int index, struct failure *f)
{
	struct rtmsg all = { .rtm_family = AF_UNSPEC };
	struct nl_message m;

	nl_start(&m, RTM_GETROUTE, 0, &all, sizeof(all));
	if (!dump(&m, route_read, list, sizeof(struct net_route), f))
		return false;
	filter(list, index, route_index);
	return true;
}

bool net_find_link(const char *mac, const char *device, struct net_link *link, struct failure *f)
{
	struct net_list links;
	uint8_t wanted[6];
	bool found = false;

	f->code = NULL;
	if (mac != NULL && !mac_parse(mac, wanted))
		return fail(f, HP_E_INVALID, 0, "mac", "expected six bytes like 52:54:00:00:00:01, got \"%.64s\"", mac);
	if (!net_read_links(&links, f))
		return false;
	for (size_t i = 0; i < links.count && !found; i++) {
		const struct net_link *l = net_at(&links, struct net_link, i);

		found = mac != NULL ? l->mac_length == 6 && memcmp(l->mac, wanted, 6) == 0 && !(l->flags & IFF_LOOPBACK) :
				      strcmp(l->name, device) == 0;
		if (found)
			*link = *l;
	}
	net_list_free(&links);
	return found;
}
