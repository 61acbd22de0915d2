/* SETUPINTERFACE and DELETEINTERFACE: waits for the NIC, changes it, reads it back; a failure puts back what was. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "net.h"
#include "pod.h"
#include "sys.h"

#define ADDRESSES_MAX 64
#define WAITING_MAX 64
#define WAIT_LIMIT_MS 600000
/* Hot-plug is announced by ACPI or PCIe; where it isn't, one look at the bus after this helps. */
#define RESCAN_AFTER_MS 500

struct wish {
	char mac[18], device[IFNAMSIZ], name[IFNAMSIZ]; /* empty: not given */
	uint32_t mtu; /* 0: as it is */
	struct ip add[ADDRESSES_MAX], remove[ADDRESSES_MAX];
	size_t add_count, remove_count;
	uint32_t timeout_ms;
};

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

static bool set_up(int index, bool up, struct failure *f)
{
	return change_link(index, IFF_UP, up ? IFF_UP : 0, NULL, 0, up ? "link up" : "link down", f);
}

static bool change_address(int index, const struct ip *ip, bool add, struct failure *f)
{
	struct ifaddrmsg info = { .ifa_family = ip->family, .ifa_prefixlen = ip->prefix, .ifa_index = (unsigned)index };
	char text[IP_TEXT], what[IP_TEXT + 32];
	struct nl_message m;

	ip_format(ip, text, sizeof(text));
	snprintf(what, sizeof(what), "%s address %s/%u", add ? "adding" : "removing", text, ip->prefix);
	/* No duplicate detection: the address is ours by plan, and has to be usable at once. */
	if (add && ip->family == AF_INET6)
		info.ifa_flags = IFA_F_NODAD;
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
	struct net_list addresses, routes; /* before */
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
	if (!set_up(index, false, f))
		return false;
	ok = change_link(index, 0, 0, name, 0, "renaming", f);
	if (!set_up(index, true, ok ? f : &ignored))
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
		if (!change_address(index, &w->remove[c->removed], false, f))
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
		if (!set_up(index, true, f))
			return false;
		c->brought_up = true;
	}
	for (; c->added < w->add_count; c->added++)
		if (!change_address(index, &w->add[c->added], true, f))
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
		ok = change_address(index, &w->add[--c->added], false, &f) && ok;
	if (c->brought_up)
		ok = set_up(index, false, &f) && ok;
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

static bool differs(struct failure *f, const char *what)
{
	return fail(f, HP_E_KERNEL, 0, NULL, "read back, the link is not as asked: %s", what);
}

static bool check(const struct change *c, const struct net_link *now, const struct net_list *addresses,
		  struct failure *f)
{
	const struct wish *w = c->wish;

	if (w->name[0] != 0 && strcmp(now->name, w->name) != 0)
		return differs(f, "its name");
	if (w->mtu != 0 && now->mtu != w->mtu)
		return differs(f, "its MTU");
	if (!(now->flags & IFF_UP))
		return differs(f, "it is down");
	for (size_t i = 0; i < w->add_count; i++) {
		const struct net_address *a = find_address(addresses, &w->add[i], true);

		if (a == NULL || (a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)))
			return differs(f, "an address");
	}
	for (size_t i = 0; i < w->remove_count; i++) {
		bool again = false;

		for (size_t j = 0; j < w->add_count; j++)
			again = again || (ip_equal(&w->add[j], &w->remove[i]) && w->add[j].prefix == w->remove[i].prefix);
		if (!again && find_address(addresses, &w->remove[i], true) != NULL)
			return differs(f, "an address that was removed");
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

/* Changes the link as wished; on success its state is written to `out`. */
static bool setup(const struct net_link *link, const struct wish *wish, struct writer *out, struct failure *f)
{
	struct change c = { .before = *link, .wish = wish };
	struct net_list now = { 0 };
	struct net_link after;
	bool ok;

	ok = net_read_addresses(&c.addresses, link->index, f) && net_read_routes(&c.routes, link->index, f);
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

/* ---- what is asked ---- */

/* `24`, or 255.255.255.0 whose ones come first. */
static bool parse_mask(const char *text, uint8_t *prefix)
{
	struct ip mask;
	uint64_t number;
	uint32_t bits;

	if (parse_u64(text, 128, &number)) {
		*prefix = (uint8_t)number;
		return true;
	}
	if (!ip_parse(text, &mask) || mask.family != AF_INET)
		return false;
	bits = get_be32(mask.bytes);
	if ((~bits & (~bits + 1)) != 0)
		return false;
	*prefix = (uint8_t)(bits == 0 ? 0 : 32 - __builtin_ctz(bits));
	return true;
}

static bool read_address(const struct json *doc, uint32_t node, struct ip *ip, bool *minus, struct failure *f)
{
	struct hp_value v[HP_Address_COUNT];
	const char *text;
	uint8_t prefix;

	if (!json_decode(doc, node, &hp_schema_Address, v, f))
		return false;
	text = v[HP_Address_ipAddress].string;
	*minus = *text == '-'; /* the original's way to say: remove it */
	if (*minus)
		text++;
	if (!ip_parse(text, ip))
		return fail(f, HP_E_INVALID, 0, "ipAddress", "expected an IP address, got \"%.64s\"", text);
	if (v[HP_Address_prefix].present) {
		if (v[HP_Address_prefix].number > ip->prefix)
			return fail(f, HP_E_INVALID, 0, "prefix", "expected at most %u", ip->prefix);
		ip->prefix = (uint8_t)v[HP_Address_prefix].number;
	} else if (v[HP_Address_netMask].present && v[HP_Address_netMask].string[0] != 0) {
		if (!parse_mask(v[HP_Address_netMask].string, &prefix) || prefix > ip->prefix)
			return fail(f, HP_E_INVALID, 0, "netMask", "expected a prefix length or a mask, got \"%.64s\"",
				    v[HP_Address_netMask].string);
		ip->prefix = prefix;
	} else {
		return fail(f, HP_E_INVALID, 0, "prefix", "an address without a prefix length");
	}
	return true;
}

static bool read_addresses(struct wish *w, const struct json *doc, uint32_t list, bool removal, struct failure *f)
{
	JSON_EACH(doc, list, n) {
		struct ip ip;
		bool minus;

		if (!read_address(doc, n, &ip, &minus, f))
			return false;
		if ((minus || removal ? w->remove_count : w->add_count) == ADDRESSES_MAX)
			return fail(f, HP_E_LIMIT, 0, "ipAddresses", "at most %d addresses", ADDRESSES_MAX);
		if (minus || removal)
			w->remove[w->remove_count++] = ip;
		else
			w->add[w->add_count++] = ip;
	}
	return true;
}

/* What dev_valid_name() of the kernel takes. */
static bool valid_name(const char *name)
{
	return strlen(name) < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strpbrk(name, "/: \t\r\n\v\f") == NULL;
}

static bool copy_name(char *to, const struct hp_value *v, const char *field, struct failure *f)
{
	to[0] = 0;
	if (!v->present)
		return true;
	if (!valid_name(v->string))
		return fail(f, HP_E_INVALID, 0, field, "expected the name of a link, got \"%.64s\"", v->string);
	strcpy(to, v->string);
	return true;
}

static bool read_wish(struct wish *w, const struct json *doc, const struct hp_value *v, struct failure *f)
{
	uint8_t mac[6];

	memset(w, 0, sizeof(*w));
	if (v[HP_Interface_mac].present && v[HP_Interface_mac].string[0] != 0) {
		if (!mac_parse(v[HP_Interface_mac].string, mac))
			return fail(f, HP_E_INVALID, 0, "mac", "expected six bytes like 52:54:00:00:00:01, got \"%.64s\"",
				    v[HP_Interface_mac].string);
		strcpy(w->mac, v[HP_Interface_mac].string);
	}
	if (!copy_name(w->device, &v[HP_Interface_device], "device", f) ||
	    !copy_name(w->name, &v[HP_Interface_newDeviceName], "newDeviceName", f))
		return false;
	if (w->mac[0] == 0 && w->device[0] == 0)
		return fail(f, HP_E_INVALID, 0, "mac", "neither mac nor device is given");
	w->mtu = (uint32_t)v[HP_Interface_mtu].number;
	w->timeout_ms = v[HP_Interface_timeoutMs].present ? (uint32_t)v[HP_Interface_timeoutMs].number :
							    HP_NIC_WAIT_DEFAULT_MS;
	if (w->timeout_ms > WAIT_LIMIT_MS)
		w->timeout_ms = WAIT_LIMIT_MS;
	return read_addresses(w, doc, v[HP_Interface_ipAddresses].node, false, f) &&
	       read_addresses(w, doc, v[HP_Interface_removeAddresses].node, true, f);
}

static bool find(const struct wish *w, struct net_link *link, struct failure *f)
{
	return net_find_link(w->mac[0] != 0 ? w->mac : NULL, w->device, link, f);
}

static bool not_found(const struct wish *w, const char *code, struct failure *f)
{
	return fail(f, code, 0, w->mac[0] != 0 ? "mac" : "device", "no NIC %s", w->mac[0] != 0 ? w->mac : w->device);
}

bool net_setup_now(const struct json *doc, uint32_t node, struct failure *f)
{
	struct hp_value v[HP_Interface_COUNT];
	struct writer ignored = { 0 };
	struct net_link link;
	struct wish w;
	bool ok;

	if (!json_decode(doc, node, &hp_schema_Interface, v, f) || !read_wish(&w, doc, v, f))
		return false;
	if (!find(&w, &link, f))
		return f->code != NULL ? false : not_found(&w, HP_E_NOT_FOUND, f);
	ok = setup(&link, &w, &ignored, f);
	queue_free(&ignored.q);
	return ok;
}

/* ---- waiting for a NIC ---- */

struct job {
	struct job *next;
	struct request request;
	struct wish wish;
	struct timer timer;
	uint64_t deadline_ms;
	bool rescanned;
};

static struct job *jobs;
static unsigned job_count;
static struct source link_events = { .fd = -1 };

static bool reply_setup(const struct request *r, const struct net_link *link, const struct wish *w, struct failure *f)
{
	struct writer out = { 0 };

	if (!setup(link, w, &out, f)) {
		queue_free(&out.q);
		return false;
	}
	if (r->extended) {
		reply_json(r, &out);
	} else {
		reply_ack(r, NULL, 0);
		queue_free(&out.q);
	}
	return true;
}

static void job_free(struct job *job)
{
	struct job **at = &jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	timer_clear(&job->timer);
	free(job);
	if (--job_count == 0)
		loop_close(&link_events);
}

/* True: the job is over. */
static bool job_try(struct job *job)
{
	struct net_link link;
	struct failure f;

	if (job->request.generation == session.generation) {
		if (find(&job->wish, &link, &f)) {
			if (!reply_setup(&job->request, &link, &job->wish, &f))
				reply_error(&job->request, &f);
		} else if (f.code != NULL) {
			reply_error(&job->request, &f);
		} else if (now_ms() >= job->deadline_ms) {
			not_found(&job->wish, HP_E_TIMEOUT, &f);
			reply_error(&job->request, &f);
		} else {
			return false;
		}
	} /* else nobody waits for it any more */
	job_free(job);
	return true;
}

static void job_timer(struct timer *t)
{
	struct job *job = CONTAINER_OF(t, struct job, timer);
	uint64_t now = now_ms();

	if (job_try(job))
		return;
	if (!job->rescanned)
		pci_rescan();
	job->rescanned = true;
	timer_set(t, job->deadline_ms > now ? job->deadline_ms - now : 0);
}

/* What the messages say does not matter: each means that it is worth looking again. */
static void link_event(struct source *s, uint32_t events)
{
	uint8_t buffer[8192];
	struct job *next;

	(void)events;
	while (sys_netlink_recv(s->fd, buffer, sizeof(buffer)) >= 0 || errno == ENOBUFS)
		;
	for (struct job *job = jobs; job != NULL; job = next) {
		next = job->next;
		job_try(job);
	}
}

static bool watch_links(struct failure *f)
{
	int fd;

	if (link_events.fd >= 0)
		return true;
	fd = sys_netlink_open(NETLINK_ROUTE, RTNLGRP_LINK);
	link_events.ready = link_event;
	if (fd >= 0 && loop_watch(&link_events, fd))
		return true;
	if (fd >= 0)
		close(fd);
	return fail(f, HP_E_KERNEL, errno, NULL, "watching links");
}

static bool wait_for(const struct request *r, const struct wish *wish, struct failure *f)
{
	struct job *job;
	uint64_t first;

	if (job_count >= WAITING_MAX)
		return fail(f, HP_E_LIMIT, 0, NULL, "%d NICs are being waited for", WAITING_MAX);
	if (!watch_links(f))
		return false;
	job = calloc(1, sizeof(*job));
	if (job == NULL)
		return fail(f, HP_E_LIMIT, ENOMEM, NULL, "waiting for a NIC");
	job->request = *r;
	job->wish = *wish;
	job->deadline_ms = now_ms() + wish->timeout_ms;
	job->timer.fire = job_timer;
	job->next = jobs;
	jobs = job;
	job_count++;
	request_defer(r);
	/* It may have come between the first look and the subscription. */
	if (job_try(job))
		return true;
	first = wish->timeout_ms > RESCAN_AFTER_MS ? RESCAN_AFTER_MS : wish->timeout_ms;
	timer_set(&job->timer, first);
	return true;
}

bool handle_setupinterface(struct call *call, struct failure *f)
{
	struct net_link link;
	struct wish w;

	if (!read_wish(&w, &call->doc, call->v, f))
		return false;
	if (find(&w, &link, f))
		return reply_setup(&call->request, &link, &w, f);
	return f->code == NULL && wait_for(&call->request, &w, f);
}

/* ---- DELETEINTERFACE ---- */

/* The original takes the device off its bus, and its client expects that. */
static void unplug(const char *name)
{
	char path[PATH_MAX];

	if (agent.pid1 && format_into(path, sizeof(path), "/sys/class/net/%s/device/../remove", name))
		file_poke(path, "1");
}

static bool clear_link(const struct net_link *link, struct failure *f)
{
	struct net_list addresses;
	bool ok = true;

	/* Down first: routes and IPv6 addresses go with it. */
	if (!set_up(link->index, false, f) || !net_read_addresses(&addresses, link->index, f))
		return false;
	for (size_t i = 0; ok && i < addresses.count; i++) {
		const struct net_address *a = net_at(&addresses, struct net_address, i);

		/* A secondary address may have gone with its primary. */
		ok = change_address(link->index, &a->ip, false, f) || f->err == EADDRNOTAVAIL;
	}
	net_list_free(&addresses);
	if (!ok || !net_read_addresses(&addresses, link->index, f))
		return false;
	if (addresses.count > 0)
		ok = differs(f, "an address is left");
	net_list_free(&addresses);
	return ok;
}

bool handle_deleteinterface(struct call *call, struct failure *f)
{
	struct net_link link;
	struct wish w;

	if (!read_wish(&w, &call->doc, call->v, f))
		return false;
	if (!find(&w, &link, f))
		return f->code != NULL ? false : not_found(&w, HP_E_NOT_FOUND, f);
	if (!clear_link(&link, f))
		return false;
	if (!call->request.extended)
		unplug(link.name);
	reply_ack(&call->request, NULL, 0);
	return true;
}

void net_loopback_up(void)
{
	struct failure f;

	if (!set_up(1, true, &f)) /* LOOPBACK_IFINDEX of the kernel */
		say("loopback: %s", f.reason);
}
