/* SETUPINTERFACE and DELETEINTERFACE: what is asked, and waiting for the NIC. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "files.h"
#include "netchange.h"
#include "pod.h"
#include "sys.h"

#define WAITING_MAX 64
#define WAIT_LIMIT_MS 600000
/* Hot-plug is announced by ACPI or PCIe; where it isn't, one look at the bus after this helps. */
#define RESCAN_AFTER_MS 500

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
	ok = net_setup_link(&link, &w, &ignored, f);
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

/* User Mode Linux calls its NICs vecN. Programs expect them to have the name that they have everywhere else. */
static void prefer_ethernet_name(const struct net_link *link, struct wish *w)
{
	if (!agent.pid1 || w->name[0] != 0 || strncmp(link->name, "vec", 3) != 0)
		return;
	for (int n = 0; n < 100; n++) {
		snprintf(w->name, sizeof(w->name), "eth%d", n);
		if (if_nametoindex(w->name) == 0)
			return;
	}
	w->name[0] = 0;
}

static bool reply_setup(const struct request *r, const struct net_link *link, const struct wish *asked, struct failure *f)
{
	struct writer out = { 0 };
	struct wish wish = *asked, *w = &wish;

	prefer_ethernet_name(link, w);
	if (!net_setup_link(link, w, &out, f)) {
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
	if (!net_set_up(link->index, false, f) || !net_read_addresses(&addresses, link->index, f))
		return false;
	for (size_t i = 0; ok && i < addresses.count; i++) {
		const struct net_address *a = net_at(&addresses, struct net_address, i);

		/* A secondary address may have gone with its primary. */
		ok = net_change_address(link->index, &a->ip, false, f) || f->err == EADDRNOTAVAIL;
	}
	net_list_free(&addresses);
	if (!ok || !net_read_addresses(&addresses, link->index, f))
		return false;
	if (addresses.count > 0)
		ok = net_differs(f, "an address is left");
	net_list_free(&addresses);
	return ok;
}

/* Nobody waits any more for a NIC that is to go: one that came later would get what was meant for this one. */
static void stop_waiting(const struct wish *w)
{
	struct job *next;

	for (struct job *job = jobs; job != NULL; job = next) {
		struct failure f;

		next = job->next;
		if (w->mac[0] != 0 ? strcasecmp(job->wish.mac, w->mac) != 0 : strcmp(job->wish.device, w->device) != 0)
			continue;
		if (job->request.generation == session.generation) {
			not_found(&job->wish, HP_E_NOT_FOUND, &f);
			reply_error(&job->request, &f);
		}
		job_free(job);
	}
}

bool handle_deleteinterface(struct call *call, struct failure *f)
{
	struct net_link link;
	struct wish w;

	if (!read_wish(&w, &call->doc, call->v, f))
		return false;
	stop_waiting(&w);
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

	if (!net_set_up(1, true, &f)) /* LOOPBACK_IFINDEX of the kernel */
		say("loopback: %s", f.reason);
}
