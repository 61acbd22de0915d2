/* What PID 1 of the VM does before and just after READY. */
#ifndef HP_BOOT_H
#define HP_BOOT_H

#include <stdbool.h>
#include <sys/types.h>

/* Mounts, console, modules; begins to look for the channels. READY is sent when both are open. */
void boot(void);

/* A child that nobody else knows has ended. */
void boot_child_ended(pid_t pid);
/* What is loaded beside the first commands has been. */
bool boot_settled(void);
/* Called once that is so. */
extern void (*boot_on_settled)(void);

#endif
