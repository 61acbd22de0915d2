/* STATS: counters as the guest's kernel keeps them. Gathered by a child, since a file system of the host may not answer. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "container.h"
#include "files.h"
#include "job.h"
#include "process.h"

#define FILE_SYSTEMS_MAX 128

static uint64_t ticks_to_ms(uint64_t ticks)
{
	long hz = sysconf(_SC_CLK_TCK);

	return ticks * 1000 / (uint64_t)(hz > 0 ? hz : 100);
}

/* Some file systems say that they have no bounds; the reader's numbers are exact up to this. */
static unsigned long long bounded(unsigned long long n, unsigned long long unit)
{
	const unsigned long long most = (1ull << 53) - 1;

	return unit > 0 && n > most / unit ? most : n * unit;
}

/* The number after `key`, 0 where there is none. */
static uint64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void write_cpu(struct writer *w)
{
	static char text[65536];
	unsigned long long t[8] = { 0 };
	double uptime = 0, load[3] = { 0 };
	unsigned processes = 0;
	char small[256];

	if (file_peek("/proc/uptime", small, sizeof(small)))
		uptime = strtod(small, NULL);
	if (file_peek("/proc/stat", text, sizeof(text)))
		sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6],
		       &t[7]);
	if (file_peek("/proc/loadavg", small, sizeof(small)))
		sscanf(small, "%lf %lf %lf %*u/%u", &load[0], &load[1], &load[2], &processes);
	write_text(w, "\"uptimeMs\":%llu,\"cpu\":{\"online\":%ld,\"userMs\":%llu,\"systemMs\":%llu,\"idleMs\":%llu,"
		      "\"ioWaitMs\":%llu,\"stealMs\":%llu},\"loadAverage\":[%.2f,%.2f,%.2f],\"processCount\":%u",
		   (unsigned long long)(uptime * 1000), sysconf(_SC_NPROCESSORS_ONLN),
		   (unsigned long long)ticks_to_ms(t[0] + t[1]), (unsigned long long)ticks_to_ms(t[2] + t[5] + t[6]),
		   (unsigned long long)ticks_to_ms(t[3]), (unsigned long long)ticks_to_ms(t[4]),
		   (unsigned long long)ticks_to_ms(t[7]), load[0], load[1], load[2], processes);
}

static void write_memory(struct writer *w)
{
	char text[8192] = "";

	file_peek("/proc/meminfo", text, sizeof(text));
	write_text(w, ",\"memory\":{\"totalBytes\":%llu,\"freeBytes\":%llu,\"availableBytes\":%llu,\"buffersBytes\":%llu,"
		      "\"cachedBytes\":%llu}",
		   (unsigned long long)number_after(text, "MemTotal:") * 1024,
		   (unsigned long long)number_after(text, "MemFree:") * 1024,
		   (unsigned long long)number_after(text, "MemAvailable:") * 1024,
		   (unsigned long long)number_after(text, "Buffers:") * 1024,
		   (unsigned long long)number_after(text, "\nCached:") * 1024);
}

static bool process_usage(pid_t pid, uint64_t *cpu_ms, uint64_t *memory_bytes)
{
	char path[64], text[1024], *rest;
	unsigned long long user, system, resident;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	/* The name may hold anything, parentheses too. */
	if (!file_peek(path, text, sizeof(text)) || (rest = strrchr(text, ')')) == NULL ||
	    sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u %llu", &user,
		   &system, &resident) != 3)
		return false;
	*cpu_ms = ticks_to_ms(user + system);
	*memory_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

static void write_containers(struct writer *w)
{
	const char *comma = "";

	write_text(w, ",\"containers\":[");
	for (struct container *c = containers; c != NULL; c = c->next) {
		struct cgroup_usage usage;

		if (c->id[0] == 0 || c->state == CONTAINER_MAKING || !cgroup_read(c->id, &usage))
			continue;
		write_text(w, "%s{\"id\":", comma);
		write_json_string(w, c->id);
		write_text(w, ",\"cpuMs\":%llu,\"memoryBytes\":%llu,\"processCount\":%llu}",
			   (unsigned long long)usage.cpu_us / 1000, (unsigned long long)usage.memory_bytes,
			   (unsigned long long)usage.processes);
		comma = ",";
	}
	write_text(w, "],\"processes\":[");
	comma = "";
	for (struct process *p = processes; p != NULL; p = p->next) {
		uint64_t cpu_ms, memory_bytes;

		if (p->reaped || !process_usage(p->pid, &cpu_ms, &memory_bytes))
			continue;
		write_text(w, "%s{\"container\":", comma);
		write_json_string(w, p->container);
		write_text(w, ",\"id\":");
		write_json_string(w, p->id);
		write_text(w, ",\"pid\":%d,\"cpuMs\":%llu,\"memoryBytes\":%llu}", (int)p->pid, (unsigned long long)cpu_ms,
			   (unsigned long long)memory_bytes);
		comma = ",";
	}
	write_text(w, "]");
}

/* `\040` as /proc/mounts writes a blank. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != 0; from++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
		    from[3] <= '7') {
			*to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
}

/* A container's are seen by its first process. */
static void write_mounts(struct writer *w, pid_t init, const char *container, unsigned *left, const char **comma)
{
	static char text[65536];
	char path[64], *rest = text, *line;

	if (init == 0)
		snprintf(path, sizeof(path), "/proc/self/mounts");
	else
		snprintf(path, sizeof(path), "/proc/%d/mounts", (int)init);
	if (!file_peek(path, text, sizeof(text)))
		return;
	while (*left > 0 && (line = strsep(&rest, "\n")) != NULL) {
		char *source = strsep(&line, " "), *target = line != NULL ? strsep(&line, " ") : NULL,
		     *type = line != NULL ? strsep(&line, " ") : NULL, real[PATH_MAX];
		struct statvfs st;

		if (type == NULL)
			continue;
		unescape(source);
		unescape(target);
		if (!(init == 0 ? format_into(real, sizeof(real), "%s", target) :
				  format_into(real, sizeof(real), "/proc/%d/root%s", (int)init, target)) ||
		    statvfs(real, &st) < 0 || st.f_blocks == 0)
			continue;
		write_text(w, "%s{\"container\":", *comma);
		write_json_string(w, container);
		write_text(w, ",\"path\":");
		write_json_string(w, target);
		write_text(w, ",\"type\":");
		write_json_string(w, type);
		write_text(w, ",\"source\":");
		write_json_string(w, source);
		write_text(w, ",\"totalBytes\":%llu,\"freeBytes\":%llu,\"availableBytes\":%llu,\"files\":%llu,\"filesFree\":%llu}",
			   bounded(st.f_blocks, st.f_frsize), bounded(st.f_bfree, st.f_frsize),
			   bounded(st.f_bavail, st.f_frsize), bounded(st.f_files, 1), bounded(st.f_ffree, 1));
		*comma = ",";
		(*left)--;
	}
}

static void write_file_systems(struct writer *w)
{
	unsigned left = FILE_SYSTEMS_MAX;
	const char *comma = "";

	write_text(w, ",\"fileSystems\":[");
	write_mounts(w, 0, OWN_CONTAINER, &left, &comma);
	for (struct container *c = containers; c != NULL; c = c->next)
		if (c->id[0] != 0 && c->state != CONTAINER_MAKING)
			write_mounts(w, c->init, c->id, &left, &comma);
	write_text(w, "]");
}

static void write_nics(struct writer *w)
{
	static char text[65536];
	char *rest = text, *line;
	const char *comma = "";

	write_text(w, ",\"nics\":[");
	if (!file_peek("/proc/net/dev", text, sizeof(text)))
		text[0] = 0;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *colon = strchr(line, ':'), path[PATH_MAX], mac[64] = "";
		unsigned long long n[16];

		if (colon == NULL)
			continue;
		*colon = 0;
		line += strspn(line, " ");
		if (sscanf(colon + 1, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3],
			   &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &n[10], &n[11]) != 12)
			continue;
		if (format_into(path, sizeof(path), "/sys/class/net/%s/address", line) && file_peek(path, mac, sizeof(mac)))
			mac[strcspn(mac, "\n")] = 0;
		write_text(w, "%s{\"name\":", comma);
		write_json_string(w, line);
		write_text(w, ",\"mac\":");
		write_json_string(w, mac);
		write_text(w,
			   ",\"receivedBytes\":%llu,\"receivedPackets\":%llu,\"receiveErrors\":%llu,\"receiveDropped\":%llu,"
			   "\"sentBytes\":%llu,\"sentPackets\":%llu,\"sendErrors\":%llu,\"sendDropped\":%llu}",
			   n[0], n[1], n[2], n[3], n[8], n[9], n[10], n[11]);
		comma = ",";
	}
	write_text(w, "]");
}

static bool gather(const struct call *call, struct queue *out, struct failure *f)
{
	struct writer w = { 0 };

	(void)call;
	write_text(&w, "{");
	write_cpu(&w);
	write_memory(&w);
	write_containers(&w);
	write_file_systems(&w);
	write_nics(&w);
	write_text(&w, "}");
	*out = w.q;
	return !w.failed || fail(f, HP_E_LIMIT, ENOMEM, NULL, "the counters");
}

bool handle_stats(struct call *call, struct failure *f)
{
	return job_start(call, 0, gather, NULL, 0, f);
}
