/* Which handler serves which command, and what its payload must look like. */
#include <string.h>

#include "agent.h"
#include "boot.h"

struct command {
	handler_fn *handle;
	const struct hp_schema *schema; /* NULL: the payload is not JSON */
	bool with_tail; /* bytes follow the JSON */
	bool only_extended;
};

/* Of a session of the extension: one that came before all was loaded. */
static struct {
	bool waits;
	struct request request;
	uint8_t payload[64];
	size_t length;
} early_ping;

static void answer_early_ping(void)
{
	early_ping.waits = false;
	reply_ack(&early_ping.request, early_ping.payload, early_ping.length);
}

/* Its answer says that nothing is under way any more: the first waits for that. */
static bool handle_ping(struct call *call, struct failure *f)
{
	(void)f;
	if (!call->request.extended || boot_settled() || early_ping.waits || call->length > sizeof(early_ping.payload)) {
		reply_ack(&call->request, call->payload, call->request.extended ? call->length : 0);
		return true;
	}
	early_ping.waits = true;
	early_ping.request = call->request;
	early_ping.length = call->length;
	memcpy(early_ping.payload, call->payload, call->length);
	boot_on_settled = answer_early_ping;
	return true;
}

static const struct command commands[] = {
	[HP_STARTPOD] = { handle_startpod, &hp_schema_StartPod, false, false },
	[HP_DESTROYPOD] = { handle_destroypod, NULL, false, false },
	[HP_EXECCMD] = { handle_exec, &hp_schema_Exec, false, false },
	[HP_READY] = { handle_rescan, NULL, false, false },
	[HP_WINSIZE] = { handle_winsize, &hp_schema_WindowSize, false, false },
	[HP_PING] = { handle_ping, NULL, false, false },
	[HP_WRITEFILE] = { handle_writefile, &hp_schema_File, true, false },
	[HP_READFILE] = { handle_readfile, &hp_schema_File, false, false },
	[HP_NEWCONTAINER] = { handle_newcontainer, &hp_schema_Container, false, false },
	[HP_KILLCONTAINER] = { handle_killcontainer, &hp_schema_KillContainer, false, false },
	[HP_ONLINECPUMEM] = { handle_onlinecpumem, NULL, false, false },
	[HP_SETUPINTERFACE] = { handle_setupinterface, &hp_schema_Interface, false, false },
	[HP_SETUPROUTE] = { handle_setuproute, &hp_schema_Routes, false, false },
	[HP_REMOVECONTAINER] = { handle_removecontainer, &hp_schema_RemoveContainer, false, false },
	[HP_SIGNALPROCESS] = { handle_signal, &hp_schema_SignalProcess, false, false },
	[HP_DELETEINTERFACE] = { handle_deleteinterface, &hp_schema_Interface, false, false },
	[HP_CREDIT] = { handle_credit, NULL, false, true },
	[HP_GETNETWORK] = { handle_getnetwork, NULL, false, true },
	[HP_DELETEROUTE] = { handle_deleteroute, &hp_schema_Routes, false, true },
	[HP_LISTCONTAINERS] = { handle_listcontainers, NULL, false, true },
	[HP_READLOG] = { handle_readlog, &hp_schema_ReadLog, false, true },
	[HP_MOUNT] = { handle_mount, &hp_schema_Mount, false, true },
	[HP_UNMOUNT] = { handle_unmount, &hp_schema_Unmount, false, true },
	[HP_RESEED] = { handle_reseed, NULL, false, true },
	[HP_SETCLOCK] = { handle_setclock, &hp_schema_Clock, false, true },
	[HP_STATS] = { handle_stats, NULL, false, true },
};

static bool parse_and_handle(const struct command *c, struct call *call, struct failure *f)
{
	if (c->schema != NULL) {
		if (!json_parse(&call->doc, (char *)call->payload, call->length, c->with_tail ? &call->tail : NULL, f) ||
		    !json_decode(&call->doc, 0, c->schema, call->v, f))
			return false;
	}
	return c->handle(call, f);
}

void dispatch(const struct request *r, uint8_t *payload, size_t length)
{
	static uint8_t empty[1];
	struct call call = { .request = *r, .payload = payload != NULL ? payload : empty, .length = length };
	const struct command *c = r->code < COUNT_OF(commands) ? &commands[r->code] : NULL;
	struct failure f;

	if (c == NULL || c->handle == NULL || (c->only_extended && !r->extended))
		fail(&f, HP_E_UNKNOWN_COMMAND, 0, NULL, "no command has code %u", r->code);
	else if (parse_and_handle(c, &call, &f)) {
		json_free(&call.doc);
		return;
	}
	json_free(&call.doc);
	reply_error(r, &f);
}

_Static_assert(HP_Process_COUNT <= FIELDS_MAX && HP_Container_COUNT <= FIELDS_MAX && HP_StartPod_COUNT <= FIELDS_MAX &&
		       HP_Interface_COUNT <= FIELDS_MAX,
	       "struct call has room for the fields of every payload");
