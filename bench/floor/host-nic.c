/*
 * The least that the host side of a NIC costs: a tap, and one message that gives it its MTU, alias, group and bridge and
 * sets it up. In: one line each time. Out: nanoseconds, measured here. The tap goes again, untimed.
 *
 *   cc -O2 -o host-nic host-nic.c && ./host-nic BRIDGE
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern unsigned int if_nametoindex(const char *name);

struct request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[256];
};

static void add(struct request *request, int type, const void *data, size_t length)
{
	struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), data, length);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int make(int netlink, unsigned int bridge)
{
	static const char name[IFNAMSIZ] = "floor0", alias[] = "hyperplug pod floor nic n";
	const unsigned int mtu = 1500, group = 4711;
	struct ifreq ifreq = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL };
	struct request request = {
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof request.link), .nlmsg_type = RTM_NEWLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = 1 },
		.link = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};
	char answer[4096];
	int header_bytes = 12, fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		fail("/dev/net/tun");
	memcpy(ifreq.ifr_name, name, sizeof name);
	if (ioctl(fd, TUNSETIFF, &ifreq) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
		fail("tap");
	add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	add(&request, IFLA_MTU, &mtu, sizeof mtu);
	add(&request, IFLA_IFALIAS, alias, sizeof alias);
	add(&request, IFLA_GROUP, &group, sizeof group);
	add(&request, IFLA_MASTER, &bridge, sizeof bridge);
	if (send(netlink, &request, request.header.nlmsg_len, 0) < 0 || recv(netlink, answer, sizeof answer, 0) < 0)
		fail("netlink");
	if (((struct nlmsgerr *)NLMSG_DATA(answer))->error != 0) {
		fprintf(stderr, "link: error %d\n", ((struct nlmsgerr *)NLMSG_DATA(answer))->error);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned int bridge = argc > 1 ? if_nametoindex(argv[1]) : 0;
	char line[16];

	if (netlink < 0 || bridge == 0)
		fail("bridge");
	while (fgets(line, sizeof line, stdin)) {
		struct timespec start, end;
		int fd;

		clock_gettime(CLOCK_MONOTONIC, &start);
		fd = make(netlink, bridge);
		clock_gettime(CLOCK_MONOTONIC, &end);
		close(fd);
		printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec);
		fflush(stdout);
	}
	return 0;
}
