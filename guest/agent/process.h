/* Processes started for the host, their streams, and the credit of these. */
#ifndef HP_PROCESS_H
#define HP_PROCESS_H

#include <sys/types.h>

#include "agent.h"

struct process;

/* One output of a process, on its way to the host. It may outlive the process: see output_process_ended(). */
struct output {
	struct source src;
	struct output *next_ready; /* in the ring of those that have something to do */
	struct output *next, **link; /* of all */
	struct process *owner; /* NULL: nobody wants it, it is read and discarded */
	uint64_t sequence;
	uint64_t credit;
	bool terminal;
	bool can_read, in_ring;
	bool ending; /* the process has ended: what is there is sent, then the end */
	uint64_t left; /* bytes that were there when it ended */
	struct timer end_timer;
};

struct process {
	struct process *next;
	char *container, *id;
	pid_t pid;
	bool terminal, reaped, detached, main;
	bool stdout_end_due; /* base protocol: when stderr has ended */
	bool never_ran; /* its program could not be started */
	int wait_status;
	uint64_t stdio, stderr_sequence;
	struct output *out[2];

	struct source in; /* the writing end of its stdin */
	struct queue in_queue;
	bool in_writable, in_eof, in_last_newline;
	uint64_t in_credit; /* what the host may still send */
	uint32_t in_unreported; /* consumed, and not yet given back */

	struct request request; /* EXECCMD, until it is answered */
	bool answer_due;
	struct source exec_report;
};

extern struct process *processes;

struct process *process_find(const char *container, const char *id);
struct process *process_by_sequence(uint64_t sequence);
bool process_sequence_in_use(uint64_t sequence);
unsigned process_count(void);
/* One was started, since this agent began. */
bool process_ever(void);
struct exec_plan;
/* In the table, not yet started. NULL without memory. */
struct process *process_new(const struct exec_plan *plan, const struct request *r);
void process_free(struct process *p);
/* The `ready` of exec_report. */
void process_report_ready(struct source *s, uint32_t events);
/* All of the session before: streams cut off, no events; they run on. */
void processes_detach(void);
/* Reaps whatever has ended. */
void processes_reap(void);
/* Frees it once nothing is due any more. */
void process_settle(struct process *p);
void process_signal(struct process *p, int signal);

/* Outputs (output.c) and inputs (stream.c) */
void stream_header(uint8_t *p, uint64_t sequence, size_t payload);
struct output *output_new(struct process *owner, int fd, uint64_t sequence, bool terminal);
/* The rest is read and discarded, so that whoever still writes lives on. */
void output_orphan(struct output *o);
void output_process_ended(struct output *o);
unsigned output_count(void);
void process_input_open(struct process *p, int fd);
void process_input_close(struct process *p);
bool outputs_pump(void);
bool streams_pump_in(void);
void streams_send_mark(void);
/* An output has sent its end. */
void process_output_ended(struct process *p, struct output *o);

/* Only for the fuzzer: as if nothing had ever run. */
void processes_forget(void);

#endif
