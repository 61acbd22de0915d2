/* /proc, /sys and /dev of a container. */
#ifndef HP_CONDEV_H
#define HP_CONDEV_H

/* In the root `fd`. One that lacks the directories, and cannot be written to, does without. */
void condev_mount(int fd);
/* Within the root: what would show or change the whole machine is hidden or made read-only. */
void condev_mask(void);
/* In a process that enters a container: it loses the power over the whole machine, for good. */
void condev_drop_capabilities(void);

#endif
