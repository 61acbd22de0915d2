/* What may block (mounting, files within containers, file systems of the host) is done by a child, whose answer is awaited as an event. */
#ifndef HP_JOB_H
#define HP_JOB_H

#include <sys/types.h>

#include "agent.h"

/* In the child. What it puts into `out` is the ACK's payload. */
typedef bool job_work(const struct call *call, struct queue *out, struct failure *f);

/*
 * Answers the call's request when `work` is done, or has not been within JOB_MS. `container` > 0: first it enters the namespaces
 * of that process. `ended` (NULL: none) is called in the agent before the answer, with the call's `token`.
 */
bool job_start(const struct call *call, pid_t container, job_work *work, void (*ended)(unsigned token, bool ok),
	       unsigned token, struct failure *f);

/* What a child found, ahead of its output. `code` points to a literal, at the same place in parent and child. */
struct job_result {
	bool ok;
	struct failure failure;
};
void job_write(int fd, const void *data, size_t length);
/* Only for the fuzzer: as if none had been started. */
void jobs_forget(void);

#endif
