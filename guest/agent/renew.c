/* RESEED and SETCLOCK: what a guest that was copied, or stood still, has to be told before it goes on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "sys.h"

static bool own_machine(struct failure *f)
{
	return agent.pid1 || fail(f, HP_E_KERNEL, EPERM, NULL, "only in a VM: this would change the host");
}

/* random(4): the bytes count as what they are, and the generator takes them at once and not when it next would. */
bool handle_reseed(struct call *call, struct failure *f)
{
	/* struct rand_pool_info: two numbers, then the bytes. */
	uint32_t pool[2 + HP_ENTROPY_MAX_BYTES / sizeof(uint32_t)] = { (uint32_t)call->length * 8, (uint32_t)call->length };
	int fd;
	bool ok;

	if (call->length < HP_ENTROPY_MIN_BYTES || call->length > HP_ENTROPY_MAX_BYTES)
		return fail(f, HP_E_INVALID, 0, NULL, "expected %u to %u bytes, got %zu", HP_ENTROPY_MIN_BYTES,
			    HP_ENTROPY_MAX_BYTES, call->length);
	if (!own_machine(f))
		return false;
	memcpy(pool + 2, call->payload, call->length);
	fd = sys_open("/dev/urandom", O_RDWR, 0);
	ok = fd >= 0 && sys_ioctl(fd, RNDADDENTROPY, pool) == 0 && sys_ioctl(fd, RNDRESEEDCRNG, NULL) == 0;
	if (!ok)
		fail(f, HP_E_KERNEL, errno, NULL, "the random pool");
	explicit_bzero(pool, sizeof(pool));
	if (fd >= 0)
		close(fd);
	if (ok)
		reply_ack(&call->request, NULL, 0);
	return ok;
}

bool handle_setclock(struct call *call, struct failure *f)
{
	uint64_t ms = call->v[HP_Clock_epochMs].number;

	/* Year 2100: beyond it is a mistake of units. */
	if (ms > 4102444800000u)
		return fail(f, HP_E_INVALID, 0, "epochMs", "expected milliseconds since 1970, got %llu", (unsigned long long)ms);
	if (!own_machine(f))
		return false;
	if (sys_settime(ms) < 0)
		return fail(f, HP_E_KERNEL, errno, "epochMs", "the clock");
	reply_ack(&call->request, NULL, 0);
	return true;
}
