/* Any bytes as the kernel's answers: to requests, to the dumps of links, addresses and routes, to generic netlink. */
#include <stdlib.h>

#include "../net.h"
#include "stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_list list = { 0 };
	struct writer w = { 0 };
	struct nl_message m;
	struct net_link link;
	struct failure f = { 0 };
	uint32_t group;
	uint16_t family;

	if (size < 1)
		return 0;
	stub_netlink_feed(data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		if (net_read_links(&list, &f))
			for (size_t i = 0; i < list.count; i++)
				write_link(&w, net_at(&list, struct net_link, i), &(struct net_list){ 0 });
		break;
	case 1:
		if (net_read_addresses(&list, size > 1 ? data[1] % 3 : 0, &f))
			for (size_t i = 0; i < list.count; i++)
				net_restore_address(net_at(&list, struct net_address, i), &f);
		break;
	case 2:
		if (net_read_routes(&list, 0, &f))
			net_restore_routes(&list, &f);
		break;
	case 3:
		net_find_link("52:54:00:00:00:01", NULL, &link, &f);
		break;
	case 4:
		nl_start(&m, 16, 0, "\3\1\0\0", 4);
		nl_genl_family(&m, &family, &group, &f);
		break;
	default: {
		struct json doc = { 0 };
		char text[] = "{\"mac\":\"52:54:00:00:00:01\",\"newDeviceName\":\"n0\",\"mtu\":1400,"
			      "\"ipAddresses\":[{\"ipAddress\":\"10.0.0.1\",\"prefix\":24}],"
			      "\"removeAddresses\":[{\"ipAddress\":\"fd00::1\",\"prefix\":64}]}";

		if (json_parse(&doc, text, sizeof(text) - 1, NULL, &f))
			net_setup_now(&doc, 0, &f);
		json_free(&doc);
	}
	}
	net_list_free(&list);
	queue_free(&w.q);
	stub_reset();
	return 0;
}
