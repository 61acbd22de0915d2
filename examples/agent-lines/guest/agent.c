/*
 * The guest's end of the line protocol: it runs programs, and nothing else. One JSON object a line, both ways, in ASCII.
 *
 *   host   {"id":1,"do":"hello","nonce":"…"}   setup, exec, kill, destroy: answered {"id":1,"ok":…} or {"id":1,"error":"…"}
 *          {"do":"in","process":1,"data":"base64"}   {"do":"eof","process":1}   {"do":"room","process":1,"fd":1,"bytes":n}
 *   guest  {"event":"out","process":1,"fd":1,"data":"base64"}   {"event":"end","process":1,"fd":1}
 *          {"event":"room","process":1,"bytes":n}   {"event":"exit","process":1,"code":0,"signal":0}
 *
 * Nobody sends more of a stream than the other end has told that it has room for.
 * usage: agent [-r RESOLV_CONF] [CHANNEL]     the channel is a device (a virtio port), else standard input
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent.h"

enum { PROCESSES = 64, CHUNK = 12 * 1024, WINDOW = 64 * 1024, LINE = 256 * 1024, QUEUE = 256 * 1024 };

struct process {
	long id; /* the host's; 0: free */
	pid_t pid; /* 0: has ended */
	int in, out[2];
	long room[2];
	struct buffer pending; /* standard input that the pipe has no room for yet */
	bool ending;
};

static struct process processes[PROCESSES];
static struct buffer queue; /* to the host */
static const char *resolv_conf = "/etc/resolv.conf";
static sigset_t no_signals;

static struct process *find(long id)
{
	for (int i = 0; i < PROCESSES; i++)
		if (id > 0 && processes[i].id == id)
			return &processes[i];
	return NULL;
}

static void answer(long id, const char *value)
{
	append(&queue, "{\"id\":%ld,\"ok\":%s}\n", id, value);
}

static void refuse(long id, int error, const char *what)
{
	append(&queue, "{\"id\":%ld,\"error\":\"%s: %s\",\"errno\":%d}\n", id, what, strerror(error), error);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void free_if_over(struct process *p)
{
	if (p->pid || p->out[0] >= 0 || p->out[1] >= 0)
		return;
	close_fd(&p->in);
	release(&p->pending);
	p->id = 0;
}

/* Bytes that went into the pipe, or that nobody will ever read. */
static void make_room(struct process *p, size_t bytes)
{
	if (bytes > 0)
		append(&queue, "{\"event\":\"room\",\"process\":%ld,\"bytes\":%zu}\n", p->id, bytes);
	consume(&p->pending, bytes);
}

static void feed(struct process *p)
{
	while (p->in >= 0 && p->pending.length > 0) {
		ssize_t n = write(p->in, p->pending.data, p->pending.length);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			close_fd(&p->in);
		else
			make_room(p, (size_t)n);
	}
	if (p->in < 0)
		make_room(p, p->pending.length);
	else if (p->ending)
		close_fd(&p->in);
}

static void drain(struct process *p, int which)
{
	unsigned char chunk[CHUNK];
	char text[CHUNK * 4 / 3 + 8];
	size_t wanted = p->room[which] < CHUNK ? (size_t)p->room[which] : CHUNK;
	ssize_t n = read(p->out[which], chunk, wanted);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->room[which] -= n;
		base64_encode(chunk, (size_t)n, text);
		append(&queue, "{\"event\":\"out\",\"process\":%ld,\"fd\":%d,\"data\":\"%s\"}\n", p->id, which + 1, text);
		return;
	}
	append(&queue, "{\"event\":\"end\",\"process\":%ld,\"fd\":%d}\n", p->id, which + 1);
	close_fd(&p->out[which]);
	free_if_over(p);
}

static void reap(void)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (int i = 0; i < PROCESSES; i++) {
			struct process *p = &processes[i];
			if (!p->id || p->pid != pid)
				continue;
			int by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
			int code = by ? 128 + by : WEXITSTATUS(status);
			append(&queue, "{\"event\":\"exit\",\"process\":%ld,\"code\":%d,\"signal\":%d}\n", p->id, code, by);
			p->pid = 0;
			close_fd(&p->in);
			feed(p);
			free_if_over(p);
		}
	}
}

/* In the child. Returns only when it failed. */
static void become(const struct message *m, int in, int out, int err)
{
	extern char **environ;
	static char *nothing[] = { NULL };
	const char *user = text_of(m, "user"), *group = text_of(m, "group"), *directory = text_of(m, "directory");
	struct passwd *pw = user ? getpwnam(user) : NULL;
	struct group *gr = group ? getgrnam(group) : NULL;
	uid_t uid = pw ? pw->pw_uid : user ? (uid_t)atol(user) : 0;
	gid_t gid = gr ? gr->gr_gid : group ? (gid_t)atol(group) : pw ? pw->pw_gid : 0;

	sigprocmask(SIG_SETMASK, &no_signals, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || (directory && chdir(directory) < 0))
		return;
	if ((group || user) && (setgroups(0, NULL) < 0 || setgid(gid) < 0))
		return;
	if (user && setuid(uid) < 0)
		return;
	char **argv = list_of(m, "argv"), **env = list_of(m, "env");
	environ = env ? env : nothing;
	execvp(argv[0], argv);
}

static void start(const struct message *m, long id)
{
	struct process *p = NULL;
	char **argv = list_of(m, "argv");
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, told[2] = { -1, -1 }, failed = 0;
	for (int i = 0; i < PROCESSES && !p; i++)
		if (!processes[i].id)
			p = &processes[i];
	if (!p || !argv || !argv[0] || number_of(m, "process") <= 0 || find(number_of(m, "process")))
		return refuse(id, p ? EINVAL : EAGAIN, "exec");
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(told, O_CLOEXEC))
		failed = errno;
	pid_t pid = failed ? -1 : fork();
	if (pid == 0) {
		become(m, in[0], out[1], err[1]);
		failed = errno;
		_exit(write(told[1], &failed, sizeof(failed)) < 0 ? 126 : 127);
	}
	if (pid < 0 && !failed)
		failed = errno;
	close_fd(&in[0]), close_fd(&out[1]), close_fd(&err[1]), close_fd(&told[1]);
	if (pid > 0 && read(told[0], &failed, sizeof(failed)) > 0)
		waitpid(pid, NULL, 0);
	close_fd(&told[0]);
	if (failed) {
		close_fd(&in[1]), close_fd(&out[0]), close_fd(&err[0]);
		return refuse(id, failed, argv[0][0] && is_plain(argv[0]) ? argv[0] : "exec");
	}
	fcntl(in[1], F_SETFL, O_NONBLOCK), fcntl(out[0], F_SETFL, O_NONBLOCK), fcntl(err[0], F_SETFL, O_NONBLOCK);
	*p = (struct process){ .id = number_of(m, "process"), .pid = pid, .in = in[1], .out = { out[0], err[0] } };
	p->room[0] = p->room[1] = number_of(m, "bytes");
	answer(id, "null");
}

static void forget_all(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct process *p = &processes[i];
		if (p->pid > 0 && p->id)
			kill(p->pid, SIGKILL);
		if (!p->id)
			continue;
		p->pid = 0;
		close_fd(&p->out[0]), close_fd(&p->out[1]);
		free_if_over(p);
	}
}

static void set_up(const struct message *m, long id)
{
	const char *hostname = text_of(m, "hostname"), *resolver = text_of(m, "resolver");
	FILE *file = resolver ? fopen(resolv_conf, "w") : NULL;
	if (hostname && sethostname(hostname, strlen(hostname)) < 0)
		refuse(id, errno, "hostname");
	else if (resolver && (!file || fputs(resolver, file) < 0 || fflush(file)))
		refuse(id, errno, "resolv.conf");
	else
		answer(id, "null");
	if (file)
		fclose(file);
}

static void input(struct process *p, const struct message *m)
{
	const char *data = text_of(m, "data");
	unsigned char bytes[WINDOW];
	ssize_t n = data ? base64_decode(data, bytes, sizeof(bytes)) : -1;
	if (n < 0 || p->pending.length + (size_t)n > WINDOW)
		exit(2); /* the host does not keep the protocol */
	add(&p->pending, bytes, (size_t)n);
	feed(p);
}

static void take(char *line)
{
	struct message m;
	if (!parse(line, &m))
		exit(2);
	const char *what = text_of(&m, "do"), *nonce = text_of(&m, "nonce");
	long id = number_of(&m, "id"), which = number_of(&m, "fd") - 1;
	struct process *p = find(number_of(&m, "process"));
	if (!what)
		exit(2);
	if (!strcmp(what, "hello") && nonce && is_plain(nonce)) {
		forget_all();
		append(&queue, "\n{\"id\":%ld,\"ok\":{\"nonce\":\"%s\",\"version\":1}}\n", id, nonce);
	} else if (!strcmp(what, "ping"))
		answer(id, "null");
	else if (!strcmp(what, "setup"))
		set_up(&m, id);
	else if (!strcmp(what, "exec"))
		start(&m, id);
	else if (!strcmp(what, "kill") && (!p || !p->pid || kill(p->pid, (int)number_of(&m, "signal")) < 0))
		refuse(id, p && p->pid ? errno : ESRCH, "kill");
	else if (!strcmp(what, "kill"))
		answer(id, "null");
	else if (!strcmp(what, "destroy")) {
		forget_all();
		answer(id, "null");
	} else if (!strcmp(what, "in") && p)
		input(p, &m);
	else if (!strcmp(what, "eof") && p) {
		p->ending = true;
		feed(p);
	} else if (!strcmp(what, "room") && p && (which == 0 || which == 1))
		p->room[which] += number_of(&m, "bytes");
	if (!strcmp(what, "destroy")) {
		flush(&queue, 1);
		sync();
		if (getpid() == 1)
			reboot(RB_POWER_OFF);
		exit(0);
	}
}

static void receive(struct buffer *line)
{
	char bytes[16384];
	ssize_t n = read(0, bytes, sizeof(bytes));
	if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR)))
		exit(0); /* the host is gone */
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			add(line, &bytes[i], 1);
			if (line->length > LINE)
				exit(2);
			continue;
		}
		add(line, "", 1);
		take(line->data);
		line->length = 0;
	}
}

int main(int argc, char **argv)
{
	struct buffer line = { 0 };
	sigset_t child;
	for (int option; (option = getopt(argc, argv, "r:")) != -1;)
		if (option == 'r')
			resolv_conf = optarg;
	if (optind < argc) {
		int fd = open(argv[optind], O_RDWR);
		if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
			return 1;
		close(fd);
	}
	fcntl(0, F_SETFD, FD_CLOEXEC), fcntl(1, F_SETFD, FD_CLOEXEC);
	fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &no_signals);
	int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd fds[3 + PROCESSES * 3];
		struct signalfd_siginfo info;
		/* With a full queue nothing more is read from programs: they wait in their pipes. */
		bool room = queue.length < QUEUE;
		int n = 3;
		fds[0] = (struct pollfd){ .fd = 0, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = queue.length > 0 ? 1 : -1, .events = POLLOUT };
		fds[2] = (struct pollfd){ .fd = children, .events = POLLIN };
		for (int i = 0; i < PROCESSES; i++, n += 3) {
			struct process *p = &processes[i];
			bool used = p->id != 0;
			fds[n] = (struct pollfd){ .fd = used && p->pending.length > 0 ? p->in : -1, .events = POLLOUT };
			for (int j = 0; j < 2; j++)
				fds[n + 1 + j] = (struct pollfd){ .fd = used && room && p->room[j] > 0 ? p->out[j] : -1, .events = POLLIN };
		}
		if (poll(fds, (nfds_t)n, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[2].revents)
			while (read(children, &info, sizeof(info)) > 0)
				;
		for (int i = 0; i < PROCESSES; i++) {
			struct process *p = &processes[i];
			if (fds[3 + i * 3].revents && p->id)
				feed(p);
			for (int j = 0; j < 2; j++)
				if (fds[4 + i * 3 + j].revents && p->id && p->out[j] >= 0)
					drain(p, j);
		}
		if (fds[2].revents)
			reap();
		if (fds[0].revents)
			receive(&line);
		if (queue.length > 0 && !flush(&queue, 0))
			return 0;
	}
}
