/* What the stub of the system-call edge tells the fuzzers, and gets from them. */
#ifndef HP_FUZZ_STUB_H
#define HP_FUZZ_STUB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel's answers to netlink requests are taken from here, in pieces; when it is used up, requests fail. */
void stub_netlink_feed(const uint8_t *data, size_t length);
/* Processes "started" since the last reset, by number of forks. */
unsigned stub_forks(void);
void stub_reset(void);

#endif
