#include "netchange.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "storage.h"

/* ---- single changes, each acknowledged by the kernel ---- */

/* Only the flags of `mask` change: with ifi_change 0xffffffff and flags 0 an MTU change would take the link down. */
static bool change_link(int index, unsigned mask, unsigned flags, const char *name, uint32_t mtu, const char *what,
			struct failure *f)
{
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_change = mask, .ifi_flags = flags };
	struct nl_message m;

	nl_start(&m, RTM_NEWLINK, 0, &info, sizeof(info));
	if (name != NULL)
		nl_attr(&m, IFLA_IFNAME, name, strlen(name) + 1);
	if (mtu != 0)
		nl_attr_u32(&m, IFLA_MTU, mtu);
	return nl_request(&m, what, f);
}

bool net_set_up(int index, bool up, struct failure *f)
{
	return change_link(index, IFF_UP, up ? IFF_UP : 0, NULL, 0, up ? "link up" : "link down", f);
}

bool net_change_address(int index, const struct ip *ip, bool add, struct failure *f)
{
	struct ifaddrmsg info = { .ifa_family = ip->family, .ifa_prefixlen = ip->prefix, .ifa_index = (unsigned)index };
	char text[IP_TEXT], what[IP_TEXT + 32];
	struct nl_message m;

	ip_format(ip, text, sizeof(text));
	snprintf(what, sizeof(what), "%s address %s/%u", add ? "adding" : "removing", text, ip->prefix);
	/* No duplicate detection: the address is ours by plan, and has to be usable at once. */
	if (add && ip->family == AF_INET6) {
		info.ifa_flags = IFA_F_NODAD;
		if (access("/proc/net/if_inet6", F_OK) < 0)
			module_need("ipv6");
	}
	nl_start(&m, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &info, sizeof(info));
	nl_attr(&m, IFA_LOCAL, ip->bytes, ip_length(ip));
	nl_attr(&m, IFA_ADDRESS, ip->bytes, ip_length(ip));
	if (add && ip->family == AF_INET && ip->prefix < 31) {
		uint32_t address = get_be32(ip->bytes), host = ip->prefix > 0 ? UINT32_MAX >> ip->prefix : UINT32_MAX;
		uint8_t broadcast[4];

		put_be32(broadcast, address | host);
		nl_attr(&m, IFA_BROADCAST, broadcast, sizeof(broadcast));
	}
	return nl_request(&m, what, f);
}

static bool restore(uint16_t type, const uint8_t *raw, size_t length, size_t header, const char *what, struct failure *f)
{
	struct nl_message m;

	if (length < header)
		return fail(f, HP_E_KERNEL, EMSGSIZE, NULL, "%s", what);
	nl_start(&m, type, NLM_F_CREATE | NLM_F_EXCL, raw, header);
	memcpy(m.data + m.length, raw + NLMSG_ALIGN(header), length - NLMSG_ALIGN(header));
	m.length += length - NLMSG_ALIGN(header);
	return nl_request(&m, what, f) || f->err == EEXIST;
}

bool net_restore_address(const struct net_address *a, struct failure *f)
{
	return restore(RTM_NEWADDR, a->raw, a->raw_length, sizeof(struct ifaddrmsg), "putting an address back", f);
}

bool net_restore_routes(const struct net_list *routes, struct failure *f)
{
	bool ok = true;

	/* Routes without a gateway first: the others are reached through them. */
	for (int with_gateway = 0; with_gateway < 2; with_gateway++)
		for (size_t i = 0; i < routes->count; i++) {
			const struct net_route *r = net_at(routes, struct net_route, i);

			if ((r->gateway.family != 0) == with_gateway && r->protocol != RTPROT_KERNEL &&
			    !restore(RTM_NEWROUTE, r->raw, r->raw_length, sizeof(struct rtmsg), "putting a route back", f))
				ok = false;
		}
	return ok;
}

/* ---- a set-up with its undo ---- */

struct change {
	struct net_link before;
	struct net_list addresses, routes; /* before, where an undo or a new name may need them */
	size_t removed, added;
	bool renamed, mtu_set, brought_up;
	const struct wish *wish;
};

static const struct net_address *find_address(const struct net_list *list, const struct ip *ip, bool with_prefix)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct net_address *a = net_at(list, struct net_address, i);

		if (ip_equal(&a->ip, ip) && (!with_prefix || a->ip.prefix == ip->prefix))
			return a;
	}
	return NULL;
}

static bool is_link_local(const struct net_address *a)
{
	return a->ip.family == AF_INET6 && a->ip.bytes[0] == 0xfe && (a->ip.bytes[1] & 0xc0) == 0x80;
}

static bool was_removed(const struct change *c, const struct net_address *a)
{
	for (size_t i = 0; i < c->removed; i++)
		if (ip_equal(&c->wish->remove[i], &a->ip) && c->wish->remove[i].prefix == a->ip.prefix)
			return true;
	return false;
}

/* A kernel before 6.2 renames no link that is up. Going down costs routes and IPv6 addresses: they are put back. */
static bool rename_link(struct change *c, const char *name, struct failure *f)
{
	int index = c->before.index;
	struct failure ignored;
	bool ok;

	if (change_link(index, 0, 0, name, 0, "renaming", f))
		return true;
	if (f->err != EBUSY || !(c->before.flags & IFF_UP))
		return false;
	if (!net_set_up(index, false, f))
		return false;
	ok = change_link(index, 0, 0, name, 0, "renaming", f);
	if (!net_set_up(index, true, ok ? f : &ignored))
		return false;
	for (size_t i = 0; i < c->addresses.count; i++) {
		const struct net_address *a = net_at(&c->addresses, struct net_address, i);

		/* The kernel makes link-local ones by itself; those that were to be removed stay removed. */
		if (!is_link_local(a) && !was_removed(c, a) && !net_restore_address(a, ok ? f : &ignored))
			ok = false;
	}
	return net_restore_routes(&c->routes, ok ? f : &ignored) && ok;
}

/* Else the kernel removes all secondary addresses of a subnet with the primary one. */
static void promote_secondaries(const char *name)
{
	char path[128];

	if (format_into(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/promote_secondaries", name))
		file_poke(path, "1");
}

static bool apply(struct change *c, struct failure *f)
{
	const struct wish *w = c->wish;
	int index = c->before.index;

	if (w->remove_count > 0)
		promote_secondaries(c->before.name);
	for (; c->removed < w->remove_count; c->removed++)
		if (!net_change_address(index, &w->remove[c->removed], false, f))
			return false;
	if (w->name[0] != 0 && strcmp(w->name, c->before.name) != 0) {
		c->renamed = true; /* before: a failure within it may come after the new name */
		if (!rename_link(c, w->name, f))
			return false;
	}
	if (w->mtu != 0 && w->mtu != c->before.mtu) {
		char what[32];

		snprintf(what, sizeof(what), "setting the MTU to %u", w->mtu);
		if (!change_link(index, 0, 0, NULL, w->mtu, what, f))
			return false;
		c->mtu_set = true;
	}
	if (!(c->before.flags & IFF_UP)) {
		if (!net_set_up(index, true, f))
			return false;
		c->brought_up = true;
	}
	for (; c->added < w->add_count; c->added++)
		if (!net_change_address(index, &w->add[c->added], true, f))
			return false;
	return true;
}

/* In reverse, and on past failures: what cannot be put back is said on the console. */
static void undo(struct change *c)
{
	const struct wish *w = c->wish;
	int index = c->before.index;
	struct failure f;
	bool ok = true;

	while (c->added > 0)
		ok = net_change_address(index, &w->add[--c->added], false, &f) && ok;
	if (c->brought_up)
		ok = net_set_up(index, false, &f) && ok;
	if (c->mtu_set)
		ok = change_link(index, 0, 0, NULL, c->before.mtu, "setting the MTU back", &f) && ok;
	if (c->renamed)
		ok = rename_link(c, c->before.name, &f) && ok;
	for (size_t i = 0; i < c->removed; i++) {
		const struct net_address *a = find_address(&c->addresses, &w->remove[i], true);

		if (a != NULL)
			ok = net_restore_address(a, &f) && ok;
	}
	if (c->removed > 0 || c->renamed)
		ok = net_restore_routes(&c->routes, &f) && ok;
	if (!ok)
		say("%s could not be put back as it was: %s", c->before.name, f.reason);
}

bool net_differs(struct failure *f, const char *what)
{
	return fail(f, HP_E_KERNEL, 0, NULL, "read back, the link is not as asked: %s", what);
}

static bool check(const struct change *c, const struct net_link *now, const struct net_list *addresses,
		  struct failure *f)
{
	const struct wish *w = c->wish;

	if (w->name[0] != 0 && strcmp(now->name, w->name) != 0)
		return net_differs(f, "its name");
	if (w->mtu != 0 && now->mtu != w->mtu)
		return net_differs(f, "its MTU");
	if (!(now->flags & IFF_UP))
		return net_differs(f, "it is down");
	for (size_t i = 0; i < w->add_count; i++) {
		const struct net_address *a = find_address(addresses, &w->add[i], true);

		if (a == NULL || (a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)))
			return net_differs(f, "an address");
	}
	for (size_t i = 0; i < w->remove_count; i++) {
		bool again = false;

		for (size_t j = 0; j < w->add_count; j++)
			again = again || (ip_equal(&w->add[j], &w->remove[i]) && w->add[j].prefix == w->remove[i].prefix);
		if (!again && find_address(addresses, &w->remove[i], true) != NULL)
			return net_differs(f, "an address that was removed");
	}
	return true;
}

static bool link_by_index(int index, struct net_link *link, struct failure *f)
{
	struct net_list links;
	bool found = false;

	if (!net_read_links(&links, f))
		return false;
	for (size_t i = 0; i < links.count && !found; i++)
		if (net_at(&links, struct net_link, i)->index == index) {
			*link = *net_at(&links, struct net_link, i);
			found = true;
		}
	net_list_free(&links);
	return found || fail(f, HP_E_NOT_FOUND, ENODEV, NULL, "the link went away");
}

/* Only these take addresses or routes away: a removal, and a new name where the link has to go down for it. */
static bool costs_something(const struct change *c)
{
	return c->wish->remove_count > 0 || (c->wish->name[0] != 0 && (c->before.flags & IFF_UP));
}

bool net_setup_link(const struct net_link *link, const struct wish *wish, struct writer *out, struct failure *f)
{
	struct change c = { .before = *link, .wish = wish };
	struct net_list now = { 0 };
	struct net_link after;
	bool ok;

	ok = !costs_something(&c) ||
	     (net_read_addresses(&c.addresses, link->index, f) && net_read_routes(&c.routes, link->index, f));
	if (ok) {
		ok = apply(&c, f) && link_by_index(link->index, &after, f) &&
		     net_read_addresses(&now, link->index, f) && check(&c, &after, &now, f);
		if (!ok)
			undo(&c);
		else
			write_link(out, &after, &now);
	}
	net_list_free(&c.addresses);
	net_list_free(&c.routes);
	net_list_free(&now);
	return ok;
}
