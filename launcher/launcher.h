/* Starts hypervisors: what util-linux and coreutils do in seven programs, in one; and ahead of the program that wants them. */
#ifndef HP_LAUNCHER_H
#define HP_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* As env(1): the program is there and cannot be run; it is not there. And for all else. */
enum { EXIT_TROUBLE = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* Says what failed, with the words of errno, and ends this process. */
_Noreturn void die(const char *what);

/* Every signal as a new program has it. */
void reset_signals(void);

/* Descriptors from `first` on. */
void close_from(int first);

/* Becomes `argv` below, confined. `words` are the options and what follows them; `mark` is where /proc shows the first of them. */
_Noreturn void confine(char **words, char *mark);

/* Begins with the VM that an earlier command like this one began with, then becomes that command. `words`: the
 * program, its script, the command, and NULL. `directory` has what is remembered; NULL: begin with nothing. */
_Noreturn void ahead(const char *directory, char **words);

bool clone_is_set_up(const char *root);

/* A growing string of bytes. Without memory the process ends. */
struct bytes {
	char *data;
	size_t len, cap;
};

void bytes_put(struct bytes *b, const void *data, size_t n);
void bytes_text(struct bytes *b, const char *text);
void bytes_format(struct bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What an earlier command left: whose it is was checked. */
struct memo {
	/* Its file, to be read by the program. */
	int fd;
	char *recipe;
	size_t recipe_len;
	/* All of it, to be freed with the process. */
	char *content;
};

/* False: there is none of this command, or somebody else can have written it. `args` are the command's, ended by NULL. */
bool memo_find(struct memo *memo, const char *directory, char *const *args);

#define MAX_PATH 512

/* What has been made, and what is to be told of it; the janitor sees it, too. */
struct begun {
	/* Of the recipe's placeholders. */
	char id[16];
	unsigned macs;
	char mac[256][18];
	bool has_user;
	uid_t uid;
	/* Trees that are this VM's alone, and its lock. */
	char tree[4][MAX_PATH];
	unsigned trees;
	char lock[MAX_PATH];
	int lock_fd;
	/* -1: the driver has none. */
	int socket_fd;
	/* Its standard error: to be read, to be written; the last who writes is the last of the VM. */
	int stderr_fd, stderr_end;
	pid_t pid;
	/* Undoes all unless a byte comes by this descriptor: when the last who has that is gone. */
	pid_t janitor;
	int janitor_fd;
	/* What the hypervisor inherits from 3 on. */
	int pass[64];
	unsigned passed;
};

/* False: it has said nothing, and what was made is the janitor's, or a lock alone. */
bool recipe_carry_out(struct begun *b, const struct memo *memo, const char *self);

bool start_janitor(struct begun *b);

bool remove_tree(const char *path);

#endif
