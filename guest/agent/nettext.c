/* Addresses as text and back; GETNETWORK. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "net.h"

size_t ip_length(const struct ip *ip)
{
	return ip->family == AF_INET ? 4 : 16;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, ip_length(a)) == 0;
}

bool ip_parse(const char *text, struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	if (inet_pton(AF_INET, text, ip->bytes) == 1) {
		ip->family = AF_INET;
		ip->prefix = 32;
		return true;
	}
	ip->family = AF_INET6;
	ip->prefix = 128;
	return inet_pton(AF_INET6, text, ip->bytes) == 1;
}

void ip_format(const struct ip *ip, char *text, size_t size)
{
	if (inet_ntop(ip->family, ip->bytes, text, (socklen_t)size) == NULL)
		text[0] = 0;
}

bool mac_parse(const char *text, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		unsigned byte = 0;

		for (int j = 0; j < 2; j++, text++) {
			unsigned digit = *text >= '0' && *text <= '9' ? (unsigned)(*text - '0') :
					 *text >= 'a' && *text <= 'f' ? (unsigned)(*text - 'a' + 10) :
					 *text >= 'A' && *text <= 'F' ? (unsigned)(*text - 'A' + 10) :
									16;

			if (digit > 15)
				return false;
			byte = byte << 4 | digit;
		}
		mac[i] = (uint8_t)byte;
		if (*text != (i < 5 ? ':' : 0))
			return false;
		text++;
	}
	return true;
}

void mac_format(const struct net_link *link, char *text, size_t size)
{
	text[0] = 0;
	for (size_t i = 0; i < link->mac_length && size > i * 3 + 3; i++)
		snprintf(text + i * 3, size - i * 3, i + 1 < link->mac_length ? "%02x:" : "%02x", link->mac[i]);
}

static void write_addresses(struct writer *w, int index, const struct net_list *addresses)
{
	bool first = true;

	for (size_t i = 0; i < addresses->count; i++) {
		const struct net_address *a = net_at(addresses, struct net_address, i);
		char text[IP_TEXT];

		if (a->index != index)
			continue;
		ip_format(&a->ip, text, sizeof(text));
		write_text(w, "%s{\"address\":\"%s\",\"prefix\":%u,\"family\":%d}", first ? "" : ",", text, a->ip.prefix,
			   a->ip.family == AF_INET ? 4 : 6);
		first = false;
	}
}

void write_link(struct writer *w, const struct net_link *link, const struct net_list *addresses)
{
	char mac[MAC_MAX * 3 + 1];

	mac_format(link, mac, sizeof(mac));
	write_text(w, "{\"name\":");
	write_json_string(w, link->name);
	write_text(w, ",\"index\":%d,\"mac\":\"%s\",\"mtu\":%u,\"up\":%s,\"addresses\":[", link->index, mac, link->mtu,
		   link->flags & IFF_UP ? "true" : "false");
	write_addresses(w, link->index, addresses);
	write_text(w, "]}");
}

static const char *name_of(const struct net_list *links, int index)
{
	for (size_t i = 0; i < links->count; i++)
		if (net_at(links, struct net_link, i)->index == index)
			return net_at(links, struct net_link, i)->name;
	return NULL;
}

static void write_route(struct writer *w, const struct net_route *r, const struct net_list *links)
{
	const char *device = name_of(links, r->index);
	char text[IP_TEXT];

	ip_format(&r->destination, text, sizeof(text));
	if (r->destination.prefix == 0 && r->gateway.family == r->destination.family)
		write_text(w, "{\"dest\":\"default\"");
	else
		write_text(w, "{\"dest\":\"%s/%u\"", text, r->destination.prefix);
	if (r->gateway.family != 0) {
		ip_format(&r->gateway, text, sizeof(text));
		write_text(w, ",\"gateway\":\"%s\"", text);
	}
	if (device != NULL) {
		write_text(w, ",\"device\":");
		write_json_string(w, device);
	}
	write_text(w, ",\"metric\":%u}", r->metric);
}

bool handle_getnetwork(struct call *call, struct failure *f)
{
	struct net_list links = { 0 }, addresses = { 0 }, routes = { 0 };
	struct writer w = { 0 };
	bool ok, first = true;

	ok = net_read_links(&links, f) && net_read_addresses(&addresses, 0, f) && net_read_routes(&routes, 0, f);
	write_text(&w, "{\"links\":[");
	for (size_t i = 0; ok && i < links.count; i++) {
		write_text(&w, i > 0 ? "," : "");
		write_link(&w, net_at(&links, struct net_link, i), &addresses);
	}
	write_text(&w, "],\"routes\":[");
	for (size_t i = 0; ok && i < routes.count; i++) {
		const struct net_route *r = net_at(&routes, struct net_route, i);

		if (!r->main_table)
			continue;
		write_text(&w, "%s", first ? "" : ",");
		write_route(&w, r, &links);
		first = false;
	}
	write_text(&w, "]}");
	if (ok)
		reply_json(&call->request, &w);
	else
		queue_free(&w.q);
	net_list_free(&links);
	net_list_free(&addresses);
	net_list_free(&routes);
	return ok;
}
