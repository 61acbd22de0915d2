/* SETUPROUTE and DELETEROUTE: all or none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define ROUTES_MAX 256

struct route {
	struct ip destination, gateway; /* gateway.family 0: none */
	int index; /* 0: the kernel chooses */
	uint32_t metric;
	bool has_metric;
	char what[160];
};

static bool parse_destination(const char *text, struct ip *ip, uint8_t default_family)
{
	char address[IP_TEXT];
	const char *slash = strchr(text, '/');
	uint64_t prefix;

	if (strcmp(text, "default") == 0 || strcmp(text, "any") == 0 || strcmp(text, "all") == 0) {
		memset(ip, 0, sizeof(*ip));
		ip->family = default_family;
		return true;
	}
	if (slash == NULL)
		return ip_parse(text, ip);
	if (!format_into(address, sizeof(address), "%.*s", (int)(slash - text), text) || !ip_parse(address, ip) ||
	    !parse_u64(slash + 1, ip->prefix, &prefix))
		return false;
	ip->prefix = (uint8_t)prefix;
	return true;
}

static bool find_device(const struct hp_value *v, int *index, struct failure *f)
{
	const char *mac = v[HP_Route_mac].present && *v[HP_Route_mac].string != 0 ? v[HP_Route_mac].string : NULL;
	const char *device = v[HP_Route_device].present ? v[HP_Route_device].string : "";
	struct net_link link;

	*index = 0;
	if (mac == NULL && *device == 0)
		return true;
	if (net_find_link(mac, device, &link, f)) {
		*index = link.index;
		return true;
	}
	return f->code != NULL ? false : fail(f, HP_E_NOT_FOUND, 0, mac != NULL ? "mac" : "device", "no NIC %.64s",
					       mac != NULL ? mac : device);
}

static bool read_route(const struct json *doc, uint32_t node, struct route *r, struct failure *f)
{
	struct hp_value v[HP_Route_COUNT];
	const char *gateway;

	memset(r, 0, sizeof(*r));
	if (!json_decode(doc, node, &hp_schema_Route, v, f))
		return false;
	gateway = v[HP_Route_gateway].string;
	if (gateway != NULL && *gateway != 0 && !ip_parse(gateway, &r->gateway))
		return fail(f, HP_E_INVALID, 0, "gateway", "expected an IP address, got \"%.64s\"", gateway);
	if (!parse_destination(v[HP_Route_dest].string, &r->destination,
			       r->gateway.family == AF_INET6 ? AF_INET6 : AF_INET))
		return fail(f, HP_E_INVALID, 0, "dest", "expected a CIDR or \"default\", got \"%.64s\"",
			    v[HP_Route_dest].string);
	if (r->gateway.family != 0 && r->gateway.family != r->destination.family)
		return fail(f, HP_E_INVALID, 0, "gateway", "destination and gateway are of two families");
	r->has_metric = v[HP_Route_metric].present;
	r->metric = (uint32_t)v[HP_Route_metric].number;
	snprintf(r->what, sizeof(r->what), "route %.48s%s%.48s", v[HP_Route_dest].string,
		 r->gateway.family != 0 ? " via " : "", r->gateway.family != 0 ? gateway : "");
	return find_device(v, &r->index, f);
}

static bool change_route(const struct route *r, bool add, struct failure *f)
{
	struct rtmsg info = {
		.rtm_family = r->destination.family,
		.rtm_dst_len = r->destination.prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = add ? RTPROT_STATIC : RTPROT_UNSPEC,
		.rtm_scope = add ? (r->gateway.family != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK) : RT_SCOPE_NOWHERE,
		.rtm_type = add ? RTN_UNICAST : RTN_UNSPEC,
	};
	struct nl_message m;

	nl_start(&m, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &info, sizeof(info));
	if (r->destination.prefix > 0)
		nl_attr(&m, RTA_DST, r->destination.bytes, ip_length(&r->destination));
	if (r->gateway.family != 0)
		nl_attr(&m, RTA_GATEWAY, r->gateway.bytes, ip_length(&r->gateway));
	if (r->index != 0)
		nl_attr_u32(&m, RTA_OIF, (uint32_t)r->index);
	if (r->has_metric)
		nl_attr_u32(&m, RTA_PRIORITY, r->metric);
	return nl_request(&m, r->what, f);
}

static bool read_routes(const struct json *doc, uint32_t list, struct route **routes, size_t *count, struct failure *f)
{
	*count = 0;
	if (doc->nodes[list].count > ROUTES_MAX) {
		*routes = NULL;
		return fail(f, HP_E_LIMIT, 0, "routes", "at most %d routes", ROUTES_MAX);
	}
	*routes = calloc(doc->nodes[list].count + 1u, sizeof(**routes));
	if (*routes == NULL)
		return fail(f, HP_E_LIMIT, ENOMEM, "routes", "routes");
	JSON_EACH(doc, list, n)
		if (!read_route(doc, n, &(*routes)[(*count)++], f))
			return false;
	return true;
}

/* Each in turn; after a failure those before it are taken back. */
static bool change_all(const struct json *doc, uint32_t list, bool add, struct failure *f)
{
	struct route *routes;
	struct failure ignored;
	size_t count, done = 0;
	bool ok = read_routes(doc, list, &routes, &count, f);

	while (ok && done < count)
		if (change_route(&routes[done], add, f))
			done++;
		else
			ok = false;
	while (!ok && done > 0)
		if (!change_route(&routes[--done], !add, &ignored))
			say("could not be taken back: %s", ignored.reason);
	free(routes);
	return ok;
}

bool net_add_routes(const struct json *doc, uint32_t list, struct failure *f)
{
	return change_all(doc, list, true, f);
}

bool handle_setuproute(struct call *call, struct failure *f)
{
	if (!change_all(&call->doc, call->v[HP_Routes_routes].node, true, f))
		return false;
	reply_ack(&call->request, NULL, 0);
	return true;
}

bool handle_deleteroute(struct call *call, struct failure *f)
{
	if (!change_all(&call->doc, call->v[HP_Routes_routes].node, false, f))
		return false;
	reply_ack(&call->request, NULL, 0);
	return true;
}
