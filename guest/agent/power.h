/* The end of the VM: asked for by the host or the power button, or because the agent cannot go on. */
#ifndef HP_POWER_H
#define HP_POWER_H

#include <stdbool.h>
#include <stdnoreturn.h>

/* Answers are still flushed, processes get a chance to end, disks are written; then the machine is off. */
void power_off(const char *why);
/* All children are gone. */
void power_children_gone(void);
/* Listens for the ACPI power button. */
void power_button_listen(void);
/* PID 1 cannot go on: says why and powers off, which is better than the kernel's panic. */
noreturn void power_fatal(const char *why);
/* Likewise for what the kernel would kill PID 1 for. */
void power_catch_crashes(void);

#endif
