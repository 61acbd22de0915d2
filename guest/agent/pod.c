/* STARTPOD, DESTROYPOD, and what else concerns the whole VM: hot-added CPUs and memory, the PCI bus. */
#include "pod.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conroot.h"
#include "container.h"
#include "files.h"
#include "net.h"
#include "power.h"
#include "process.h"
#include "sys.h"

static bool need_root(struct failure *f)
{
	return agent.root != NULL ||
	       fail(f, HP_E_KERNEL, EPERM, NULL, "the agent runs on a host, without --root: this would change the host");
}

static bool check_hostname(const char *name, struct failure *f)
{
	size_t n = strlen(name);

	/* HOST_NAME_MAX of Linux; which characters are allowed is RFC 1123 and the underscore that is in use. */
	if (n > 64 || n != strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"))
		return fail(f, HP_E_INVALID, 0, "hostname", "expected at most 64 letters, digits, '.', '-' or '_'");
	return true;
}

static bool check_dns(const struct json *doc, uint32_t list, struct failure *f)
{
	JSON_EACH(doc, list, n) {
		uint8_t address[16];
		char bare[64];

		/* A link-local server has its interface after '%'. */
		snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(doc->nodes[n].string, "%"), doc->nodes[n].string);
		if ((inet_pton(AF_INET, bare, address) != 1 && inet_pton(AF_INET6, bare, address) != 1) ||
		    strpbrk(doc->nodes[n].string, " \t\r\n") != NULL)
			return fail(f, HP_E_INVALID, 0, "dns", "expected an IP address, got \"%.64s\"", doc->nodes[n].string);
	}
	return true;
}

static bool check_words(const struct json *doc, uint32_t list, const char *field, struct failure *f)
{
	JSON_EACH(doc, list, n)
		if (doc->nodes[n].string[0] == 0 || strpbrk(doc->nodes[n].string, " \t\r\n#;") != NULL)
			return fail(f, HP_E_INVALID, 0, field, "expected one word, got \"%.64s\"", doc->nodes[n].string);
	return true;
}

static void write_list(struct writer *w, const struct json *doc, uint32_t list, const char *keyword)
{
	if (list == 0 || doc->nodes[list].count == 0)
		return;
	write_text(w, "%s", keyword);
	JSON_EACH(doc, list, n) {
		write_text(w, " ");
		if (!queue_put(&w->q, doc->nodes[n].string, strlen(doc->nodes[n].string)))
			w->failed = true;
	}
	write_text(w, "\n");
}

static bool write_etc(const char *name, struct writer *w, struct failure *f)
{
	const uint8_t *text = w->q.len > 0 ? queue_head(&w->q) : (const uint8_t *)"";
	char path[PATH_MAX];
	bool ok = true;

	if (w->failed || !format_into(path, sizeof(path), "%s/etc", agent.root))
		ok = fail(f, HP_E_LIMIT, ENOMEM, NULL, "/etc/%s", name);
	else if (sys_mkdir(path, 0755) < 0 && errno != EEXIST)
		ok = fail(f, HP_E_KERNEL, errno, NULL, "%s", path);
	else if (!format_into(path, sizeof(path), "%s/etc/%s", agent.root, name))
		ok = fail(f, HP_E_LIMIT, ENAMETOOLONG, NULL, "/etc/%s", name);
	else if (process_ever() || !file_write(path, text, w->q.len, 0644, f))
		/* A link that leads nowhere is replaced, too. */
		ok = file_replace(path, text, w->q.len, 0644, f);
	queue_free(&w->q);
	return ok;
}

static bool set_hostname(const char *name, struct failure *f)
{
	struct writer hostname = { 0 }, hosts = { 0 };

	if (agent.own_uts && sys_sethostname(name, strlen(name)) < 0)
		return fail(f, HP_E_KERNEL, errno, "hostname", "sethostname");
	write_text(&hostname, "%s\n", name);
	write_text(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	if (strcmp(name, "localhost") != 0)
		write_text(&hosts, "127.0.1.1\t%s\n", name);
	return write_etc("hostname", &hostname, f) && write_etc("hosts", &hosts, f);
}

/* machine-id(5). Without one in the request the file is left as it is. */
static bool set_machine_id(const char *id, struct failure *f)
{
	struct writer w = { 0 };

	if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
		return fail(f, HP_E_INVALID, 0, "machineId", "expected 32 digits of lower-case hex");
	write_text(&w, "%s\n", id);
	return write_etc("machine-id", &w, f);
}

static bool set_resolver(const struct call *call, struct failure *f)
{
	uint32_t dns = call->v[HP_StartPod_dns].node, search = call->v[HP_StartPod_dnsSearch].node,
		 options = call->v[HP_StartPod_dnsOptions].node;
	struct writer w = { 0 };

	if (!check_dns(&call->doc, dns, f) || !check_words(&call->doc, search, "dnsSearch", f) ||
	    !check_words(&call->doc, options, "dnsOptions", f))
		return false;
	JSON_EACH(&call->doc, dns, n)
		write_text(&w, "nameserver %.128s\n", call->doc.nodes[n].string);
	write_list(&w, &call->doc, search, "search");
	write_list(&w, &call->doc, options, "options");
	return write_etc("resolv.conf", &w, f);
}

/* The original's shared directory: a 9p or virtiofs tag. */
static bool mount_share(const char *tag, struct failure *f)
{
	if (*tag == 0)
		return true;
	if (!agent.pid1)
		return fail(f, HP_E_KERNEL, EPERM, "shareDir", "only in a VM");
	sys_mkdir("/tmp/hyper", 0755);
	sys_mkdir(SHARE_POINT, 0755);
	sys_umount(SHARE_POINT); /* of a STARTPOD before */
	if (sys_mount(tag, SHARE_POINT, "virtiofs", 0, NULL) == 0 ||
	    sys_mount(tag, SHARE_POINT, "9p", 0, "trans=virtio") == 0)
		return true;
	return fail(f, HP_E_KERNEL, errno, "shareDir", "mounting %.64s", tag);
}

bool handle_startpod(struct call *call, struct failure *f)
{
	const char *hostname = call->v[HP_StartPod_hostname].string;

	if (!need_root(f))
		return false;
	if (hostname != NULL && *hostname != 0 && (!check_hostname(hostname, f) || !set_hostname(hostname, f)))
		return false;
	if (call->v[HP_StartPod_machineId].present && !set_machine_id(call->v[HP_StartPod_machineId].string, f))
		return false;
	if (!set_resolver(call, f))
		return false;
	if (call->v[HP_StartPod_shareDir].present && !mount_share(call->v[HP_StartPod_shareDir].string, f))
		return false;
	/* The interfaces of an original client are there before its STARTPOD, so they are not waited for. */
	JSON_EACH(&call->doc, call->v[HP_StartPod_interfaces].node, n)
		if (!net_setup_now(&call->doc, n, f))
			return false;
	if (call->v[HP_StartPod_routes].node != 0 && !net_add_routes(&call->doc, call->v[HP_StartPod_routes].node, f))
		return false;
	JSON_EACH(&call->doc, call->v[HP_StartPod_containers].node, n)
		if (!container_create(&call->doc, n, NULL, f))
			return false;
	reply_ack(&call->request, NULL, 0);
	return true;
}

bool handle_destroypod(struct call *call, struct failure *f)
{
	(void)f;
	reply_ack(&call->request, NULL, 0);
	power_off("the host asked for it");
	return true;
}

/* Writes `value` to DIR/PREFIX*N/FILE wherever that file says something else. Counts what it did. */
static bool bring_online(const char *dir, const char *prefix, const char *file, const char *value, struct failure *f)
{
	char base[PATH_MAX], path[PATH_MAX], was[32];
	struct dirent *entry;
	bool ok = true;
	DIR *d;

	if (!format_into(base, sizeof(base), "%s%s", agent.root, dir) || (d = opendir(base)) == NULL)
		return true; /* a kernel without memory hot-plug has no such directory */
	while (ok && (entry = readdir(d)) != NULL) {
		size_t n = strlen(prefix);

		if (strncmp(entry->d_name, prefix, n) != 0 || strspn(entry->d_name + n, "0123456789") == 0)
			continue;
		if (!format_into(path, sizeof(path), "%s/%s/%s", base, entry->d_name, file) ||
		    !file_peek(path, was, sizeof(was)) || strncmp(was, value, strlen(value)) == 0)
			continue; /* cpu0 has no such file, where it cannot be taken offline */
		if (!file_poke(path, value))
			ok = fail(f, HP_E_KERNEL, errno, NULL, "%.200s", path);
	}
	closedir(d);
	return ok;
}

bool handle_onlinecpumem(struct call *call, struct failure *f)
{
	if (!need_root(f) || !bring_online("/sys/devices/system/cpu", "cpu", "online", "1", f) ||
	    !bring_online("/sys/devices/system/memory", "memory", "state", "online", f))
		return false;
	reply_ack(&call->request, NULL, 0);
	return true;
}

void pci_rescan(void)
{
	char path[PATH_MAX];

	if (agent.root == NULL || !format_into(path, sizeof(path), "%s/sys/bus/pci/rescan", agent.root))
		return;
	/* Probing a device takes a while under emulation, and the write returns after it: not in the agent's own time. */
	if (sys_fork() == 0) {
		file_poke(path, "1");
		_exit(0);
	}
}

bool handle_rescan(struct call *call, struct failure *f)
{
	(void)f;
	pci_rescan();
	reply_ack(&call->request, NULL, 0);
	return true;
}
