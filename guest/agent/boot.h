/* What PID 1 of the VM does before and just after READY. */
#ifndef HP_BOOT_H
#define HP_BOOT_H

/* Mounts, console, modules; begins to look for the channels. READY is sent when both are open. */
void boot(void);

#endif
