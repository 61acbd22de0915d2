#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "sys.h"

#define JOBS_MAX 64
#define JOB_MS 30000
/* The largest file, and room for what stands before it. */
#define OUTPUT_MAX (HP_FILE_MAX_BYTES + 65536)

struct job {
	struct job *next;
	struct source src;
	struct timer timer;
	struct request request;
	struct queue out;
	pid_t pid;
	void (*ended)(unsigned token, bool ok);
	unsigned token;
};

static struct job *jobs;
static unsigned jobs_total;

void job_write(int fd, const void *data, size_t length)
{
	const uint8_t *p = data;

	while (length > 0) {
		ssize_t n = write(fd, p, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		p += n;
		length -= (size_t)n;
	}
}

static void job_free(struct job *j)
{
	struct job **at = &jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	jobs_total--;
	timer_clear(&j->timer);
	loop_close(&j->src);
	queue_free(&j->out);
	free(j);
}

static void job_failed(struct job *j, const struct failure *f)
{
	if (j->ended != NULL)
		j->ended(j->token, false);
	reply_error(&j->request, f);
	job_free(j);
}

static void job_finished(struct job *j)
{
	struct job_result result;
	struct failure f;

	if (j->out.len < sizeof(result)) {
		fail(&f, HP_E_KERNEL, 0, NULL, "the agent's helper ended early");
		job_failed(j, &f);
		return;
	}
	memcpy(&result, queue_head(&j->out), sizeof(result));
	queue_consume(&j->out, sizeof(result));
	if (!result.ok) {
		job_failed(j, &result.failure);
		return;
	}
	if (j->ended != NULL)
		j->ended(j->token, true);
	reply_ack(&j->request, j->out.len > 0 ? queue_head(&j->out) : NULL, j->out.len);
	job_free(j);
}

static void job_ready(struct source *s, uint32_t events)
{
	struct job *j = CONTAINER_OF(s, struct job, src);

	(void)events;
	for (;;) {
		uint8_t *room = j->out.len < OUTPUT_MAX ? queue_reserve(&j->out, 65536) : NULL;
		struct failure f;
		ssize_t n;

		if (room == NULL) {
			sys_kill(j->pid, SIGKILL);
			fail(&f, HP_E_LIMIT, ENOMEM, NULL, "the answer");
			job_failed(j, &f);
			return;
		}
		n = read(s->fd, room, 65536);
		if (n > 0) {
			queue_commit(&j->out, (size_t)n);
		} else if (n == 0) {
			job_finished(j);
			return;
		} else if (errno != EINTR) {
			return; /* EAGAIN: there will be an event */
		}
	}
}

static void job_late(struct timer *t)
{
	struct job *j = CONTAINER_OF(t, struct job, timer);
	struct failure f;

	sys_kill(j->pid, SIGKILL);
	fail(&f, HP_E_TIMEOUT, 0, NULL, "not done within %d s", JOB_MS / 1000);
	job_failed(j, &f);
}

static void job_child(const struct call *call, pid_t container, job_work *work, int fd)
{
	struct job_result result = { 0 };
	struct queue out = { 0 };

	if (container > 0 && !container_enter(container))
		fail(&result.failure, HP_E_KERNEL, errno, "container", "entering");
	else
		result.ok = work(call, &out, &result.failure);
	job_write(fd, &result, sizeof(result));
	if (result.ok && out.len > 0)
		job_write(fd, queue_head(&out), out.len);
	_exit(0);
}

bool job_start(const struct call *call, pid_t container, job_work *work, void (*ended)(unsigned token, bool ok),
	       unsigned token, struct failure *f)
{
	struct job *j = jobs_total < JOBS_MAX ? calloc(1, sizeof(*j)) : NULL;
	int ends[2];

	if (j == NULL)
		return fail(f, HP_E_LIMIT, 0, NULL, "at most %d such commands at a time", JOBS_MAX);
	j->src.fd = -1;
	j->src.ready = job_ready;
	j->timer.fire = job_late;
	j->request = call->request;
	j->ended = ended;
	j->token = token;
	if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		free(j);
		return fail(f, HP_E_KERNEL, errno, NULL, "a pipe");
	}
	j->pid = sys_fork();
	if (j->pid == 0)
		job_child(call, container, work, ends[1]);
	close(ends[1]);
	if (j->pid < 0 || !loop_watch(&j->src, ends[0])) {
		fail(f, HP_E_KERNEL, errno, NULL, "fork");
		if (j->pid > 0)
			sys_kill(j->pid, SIGKILL);
		close(ends[0]);
		free(j);
		return false;
	}
	j->next = jobs;
	jobs = j;
	jobs_total++;
	timer_set(&j->timer, JOB_MS);
	request_defer(&call->request);
	return true;
}

void jobs_forget(void)
{
	while (jobs != NULL)
		job_free(jobs);
}
