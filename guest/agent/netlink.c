#include "netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol.gen.h"
#include "sys.h"

#define RECEIVE_BYTES 65536
#define DUMP_ATTEMPTS 8

static int route_socket = -1;
static uint32_t last_sequence;

void nl_start(struct nl_message *m, uint16_t type, uint16_t flags, const void *header, size_t length)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)m->data;

	memset(m, 0, sizeof(*m));
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(m->data + NLMSG_HDRLEN, header, length);
	m->length = NLMSG_ALIGN(NLMSG_LENGTH(length));
}

void nl_attr(struct nl_message *m, uint16_t type, const void *data, size_t length)
{
	struct rtattr *a = (struct rtattr *)(void *)(m->data + m->length);

	if (m->length + RTA_SPACE(length) > sizeof(m->data)) {
		m->overflow = true;
		return;
	}
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(length);
	if (length > 0)
		memcpy(RTA_DATA(a), data, length);
	m->length += RTA_SPACE(length);
}

void nl_attr_u32(struct nl_message *m, uint16_t type, uint32_t value)
{
	nl_attr(m, type, &value, sizeof(value));
}

void nl_attributes(const uint8_t *data, size_t length, const struct rtattr **table, unsigned max)
{
	memset(table, 0, (max + 1) * sizeof(*table));
	while (length >= sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)data;
		unsigned type = a->rta_type & NLA_TYPE_MASK;
		size_t step = RTA_ALIGN(a->rta_len);

		if (a->rta_len < sizeof(*a) || a->rta_len > length)
			return;
		if (type <= max)
			table[type] = a;
		if (step >= length)
			return;
		data += step;
		length -= step;
	}
}

const void *nl_content(const struct rtattr *a, size_t length)
{
	return a != NULL && nl_content_length(a) >= length ? RTA_DATA(a) : NULL;
}

/* NLMSG_ERROR: an errno (0: acknowledged) and, since Linux 4.12, words (struct nlmsgerr and its attributes). */
static enum nl_state parse_error(const struct nlmsghdr *h, const uint8_t *payload, size_t length, struct nl_error *e)
{
	const struct nlmsgerr *report = (const void *)payload;
	const struct rtattr *table[NLMSGERR_ATTR_MSG + 1];
	size_t at = sizeof(*report);
	const char *text;

	if (length < sizeof(*report)) {
		e->err = EBADMSG;
		return NL_FAILED;
	}
	e->err = report->error < 0 && report->error > -4096 ? -report->error : report->error == 0 ? 0 : EBADMSG;
	if (!(h->nlmsg_flags & NLM_F_CAPPED) && report->msg.nlmsg_len > sizeof(report->msg))
		at += NLMSG_ALIGN(report->msg.nlmsg_len - sizeof(report->msg));
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && at < length) {
		nl_attributes(payload + at, length - at, table, NLMSGERR_ATTR_MSG);
		text = nl_content(table[NLMSGERR_ATTR_MSG], 1);
		if (text != NULL)
			snprintf(e->text, sizeof(e->text), "%.*s", (int)nl_content_length(table[NLMSGERR_ATTR_MSG]), text);
	}
	return e->err == 0 ? NL_DONE : NL_FAILED;
}

enum nl_state nl_parse(const uint8_t *data, size_t length, uint32_t sequence, nl_callback *each, void *arg,
		       struct nl_error *error)
{
	while (length >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const void *)data;
		const uint8_t *payload = data + NLMSG_HDRLEN;
		size_t payload_length, step = NLMSG_ALIGN((size_t)h->nlmsg_len);

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > length) {
			error->err = EBADMSG;
			return NL_FAILED;
		}
		payload_length = h->nlmsg_len - NLMSG_HDRLEN;
		if (h->nlmsg_seq == sequence) {
			if (h->nlmsg_flags & NLM_F_DUMP_INTR)
				error->interrupted = true;
			if (h->nlmsg_type == NLMSG_ERROR)
				return parse_error(h, payload, payload_length, error);
			if (h->nlmsg_type == NLMSG_DONE) {
				int result;

				if (payload_length < sizeof(result))
					return NL_DONE;
				memcpy(&result, payload, sizeof(result));
				error->err = result < 0 && result > -4096 ? -result : 0;
				return error->err == 0 ? NL_DONE : NL_FAILED;
			}
			if (each != NULL && h->nlmsg_type >= NLMSG_MIN_TYPE)
				each(arg, h, payload, payload_length);
		}
		if (step >= length)
			break;
		data += step;
		length -= step;
	}
	return NL_MORE;
}

static bool exchange(int fd, struct nl_message *m, nl_callback *each, void *arg, struct nl_error *error)
{
	static uint8_t buffer[RECEIVE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)m->data;
	enum nl_state state = NL_MORE;

	memset(error, 0, sizeof(*error));
	if (m->overflow) {
		error->err = EMSGSIZE;
		return false;
	}
	h->nlmsg_len = (uint32_t)m->length;
	h->nlmsg_seq = ++last_sequence;
	if (sys_netlink_send(fd, m->data, m->length) < 0) {
		error->err = errno;
		return false;
	}
	while (state == NL_MORE) {
		ssize_t n = sys_netlink_recv(fd, buffer, sizeof(buffer));

		if (n <= 0 || (size_t)n > sizeof(buffer)) {
			error->err = n < 0 ? errno : EBADMSG;
			return false;
		}
		state = nl_parse(buffer, (size_t)n, h->nlmsg_seq, each, arg, error);
	}
	return state == NL_DONE;
}

static bool open_route_socket(struct failure *f)
{
	if (route_socket < 0)
		route_socket = sys_netlink_open(NETLINK_ROUTE, 0);
	return route_socket >= 0 || fail(f, HP_E_KERNEL, errno, NULL, "netlink");
}

static bool refused(const char *what, const struct nl_error *e, struct failure *f)
{
	if (e->text[0] == 0)
		return fail(f, HP_E_KERNEL, e->err, NULL, "%s", what);
	return fail(f, HP_E_KERNEL, e->err, NULL, "%s: %s", what, e->text);
}

bool nl_request(struct nl_message *m, const char *what, struct failure *f)
{
	struct nl_error e;

	((struct nlmsghdr *)(void *)m->data)->nlmsg_flags |= NLM_F_ACK;
	if (!open_route_socket(f))
		return false;
	return exchange(route_socket, m, NULL, NULL, &e) || refused(what, &e, f);
}

bool nl_dump(struct nl_message *m, nl_callback *each, void (*restart)(void *), void *arg, struct failure *f)
{
	struct nl_error e;

	((struct nlmsghdr *)(void *)m->data)->nlmsg_flags |= NLM_F_DUMP;
	if (!open_route_socket(f))
		return false;
	for (int attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
		restart(arg);
		if (!exchange(route_socket, m, each, arg, &e))
			return refused("reading the network", &e, f);
		if (!e.interrupted)
			return true;
	}
	return fail(f, HP_E_KERNEL, EAGAIN, NULL, "reading the network: it keeps changing");
}

/* ---- generic netlink: a family's id and its first multicast group ---- */

struct family {
	uint16_t id;
	uint32_t group;
};

static void family_found(void *arg, const struct nlmsghdr *h, const uint8_t *payload, size_t length)
{
	const struct rtattr *table[CTRL_ATTR_MCAST_GROUPS + 1], *group[CTRL_ATTR_MCAST_GRP_ID + 1], *groups, *first;
	struct family *family = arg;
	const uint16_t *id;
	const uint32_t *group_id;

	if (h->nlmsg_type != GENL_ID_CTRL || length < GENL_HDRLEN)
		return;
	nl_attributes(payload + GENL_HDRLEN, length - GENL_HDRLEN, table, CTRL_ATTR_MCAST_GROUPS);
	id = nl_content(table[CTRL_ATTR_FAMILY_ID], sizeof(*id));
	groups = table[CTRL_ATTR_MCAST_GROUPS];
	first = nl_content(groups, sizeof(*first));
	if (id == NULL || first == NULL || first->rta_len < sizeof(*first) || first->rta_len > nl_content_length(groups))
		return;
	nl_attributes(RTA_DATA(first), nl_content_length(first), group, CTRL_ATTR_MCAST_GRP_ID);
	group_id = nl_content(group[CTRL_ATTR_MCAST_GRP_ID], sizeof(*group_id));
	if (group_id == NULL)
		return;
	family->id = *id;
	family->group = *group_id;
}

bool nl_genl_family(struct nl_message *m, uint16_t *id, uint32_t *group, struct failure *f)
{
	struct family family = { 0 };
	struct nl_error e;
	int fd = sys_netlink_open(NETLINK_GENERIC, 0);
	bool ok;

	if (fd < 0)
		return fail(f, HP_E_KERNEL, errno, NULL, "generic netlink");
	((struct nlmsghdr *)(void *)m->data)->nlmsg_flags |= NLM_F_ACK;
	ok = exchange(fd, m, family_found, &family, &e) && family.id != 0;
	close(fd);
	*id = family.id;
	*group = family.group;
	return ok || refused("generic netlink", &e, f);
}
