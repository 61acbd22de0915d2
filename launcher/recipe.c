/* Carries out what begins a VM (src/host/launch-recipe.ts says what each step is about): words, each ended by a zero; before
 * those of a step stands how many they are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_WORDS 512

/* Placeholders. None of them can be told from others by a part of it. */
#define ID "pod-##########"
#define MAC "##:##:##:##:##:"
#define OWN_UID "##uid##"
#define OWN_PID "##pid##"

static bool number(const char *text, unsigned long long *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

/* COUNT: MAC addresses of its own, as src/core/mac.ts makes them. */
static bool step_macs(struct begun *b, char **words)
{
	unsigned long long count;

	if (!number(words[0], &count) || count > COUNT_OF(b->mac))
		return false;
	for (b->macs = 0; b->macs < count; b->macs++) {
		uint8_t octet[6];

		if (getrandom(octet, sizeof(octet), GRND_NONBLOCK) != sizeof(octet))
			return false;
		snprintf(b->mac[b->macs], sizeof(b->mac[0]), "%02x:%02x:%02x:%02x:%02x:%02x", (octet[0] & 0xfc) | 2, octet[1],
			 octet[2], octet[3], octet[4], octet[5]);
	}
	return true;
}

/* A word with its placeholders replaced; it lives as long as the process. NULL: it cannot be. */
static char *filled(struct begun *b, const char *word)
{
	struct bytes out = { 0 };

	bytes_text(&out, "");
	while (*word != '\0') {
		const char *end;
		unsigned index;
		int used = 0;

		if (strncmp(word, ID, strlen(ID)) == 0) {
			bytes_text(&out, b->id);
			end = word + strlen(ID);
		} else if (strncmp(word, MAC, strlen(MAC)) == 0 && sscanf(word + strlen(MAC), "%2x%n", &index, &used) == 1 &&
			   used == 2) {
			if (index >= b->macs)
				return NULL;
			bytes_text(&out, b->mac[index]);
			end = word + strlen(MAC) + 2;
		} else if (strncmp(word, OWN_UID, strlen(OWN_UID)) == 0) {
			bytes_format(&out, "%u", (unsigned)b->uid);
			end = word + strlen(OWN_UID);
		} else if (strncmp(word, OWN_PID, strlen(OWN_PID)) == 0) {
			bytes_format(&out, "%d", (int)getpid());
			end = word + strlen(OWN_PID);
		} else {
			bytes_put(&out, word, 1);
			end = word + 1;
		}
		word = end;
	}
	return out.data;
}

/* ID: of this machine's boot. */
static bool step_boot(struct begun *b, char **words)
{
	char id[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof(id));

	(void)b;
	if (fd >= 0)
		close(fd);
	return n > 0 && (size_t)n == strlen(words[0]) + 1 && memcmp(id, words[0], (size_t)n - 1) == 0;
}

/* TEXT: of no concern to us. */
static bool step_note(struct begun *b, char **words)
{
	(void)b;
	(void)words;
	return true;
}

/* PATH: a directory of ours that nobody else can use. */
static bool step_own(struct begun *b, char **words)
{
	struct stat directory;

	(void)b;
	return lstat(words[0], &directory) == 0 && S_ISDIR(directory.st_mode) && directory.st_uid == geteuid() &&
	       (directory.st_mode & 077) == 0;
}

/* PATH: locked as long as this process and the janitor live. Before it nothing has been made. */
static bool step_lock(struct begun *b, char **words)
{
	struct stat ours, there;

	if (strlen(words[0]) >= MAX_PATH)
		return false;
	b->lock_fd = open(words[0], O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (b->lock_fd < 0)
		return false;
	strcpy(b->lock, words[0]);
	return flock(b->lock_fd, LOCK_EX | LOCK_NB) == 0 && fstat(b->lock_fd, &ours) == 0 && stat(words[0], &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino && start_janitor(b);
}

/* PATH: a directory that may be there. */
static bool step_directory(struct begun *b, char **words)
{
	(void)b;
	return mkdir(words[0], 0700) == 0 || errno == EEXIST;
}

/* PATH: a directory of this VM alone. */
static bool step_new(struct begun *b, char **words)
{
	if (b->janitor == 0 || b->trees == COUNT_OF(b->tree) || strlen(words[0]) >= MAX_PATH)
		return false;
	/* Known before it is there, as the janitor may have to remove it; but it is not if it was there before. */
	strcpy(b->tree[b->trees], words[0]);
	if (access(words[0], F_OK) == 0)
		return false;
	b->trees++;
	if (mkdir(words[0], 0700) == 0)
		return true;
	b->trees--;
	return false;
}

/* Of the other VMs: owners of the directories PARENT/VM/NAME. */
static bool uid_in_use(const char *parent, const char *own, const char *name, uid_t uid)
{
	DIR *directory = opendir(parent);
	bool found = false;

	if (directory == NULL)
		return true;
	for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;) {
		char path[4096];
		struct stat sockets;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, own) == 0)
			continue;
		int n = snprintf(path, sizeof(path), "%s/%s", entry->d_name, name);
		if (n > 0 && (size_t)n < sizeof(path) && fstatat(dirfd(directory), path, &sockets, AT_SYMLINK_NOFOLLOW) == 0)
			found = sockets.st_uid == uid;
	}
	closedir(directory);
	return found;
}

/* PARENT VM NAME FIRST COUNT: a uid that no other VM has (see takeFreeUid); PARENT/VM/NAME becomes its. */
static bool step_uid(struct begun *b, char **words)
{
	unsigned long long first, count;
	struct bytes path = { 0 };

	for (int each = 0; each < 3; each++) {
		bytes_text(&path, words[each]);
		bytes_text(&path, each < 2 ? "/" : "");
	}
	if (!number(words[3], &first) || !number(words[4], &count) || count == 0)
		return false;
	for (int attempt = 0; attempt < 100; attempt++) {
		uint32_t random;

		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
			return false;
		uid_t uid = (uid_t)(first + random % count);
		if (uid_in_use(words[0], words[1], words[2], uid))
			continue;
		if (lchown(path.data, uid, uid) != 0)
			return false;
		if (uid_in_use(words[0], words[1], words[2], uid))
			continue;
		b->uid = uid;
		b->has_user = true;
		return true;
	}
	return false;
}

/* PATH: a file that the VM's user can read, whoever that is. */
static bool step_readable(struct begun *b, char **words)
{
	struct stat file;

	return stat(words[0], &file) == 0 && S_ISREG(file.st_mode) && (!b->has_user || (file.st_mode & 04) != 0);
}

/* DIRECTORY MIB: room on a file system. */
static bool step_room(struct begun *b, char **words)
{
	unsigned long long mib;
	struct statvfs room;

	(void)b;
	return number(words[1], &mib) && statvfs(words[0], &room) == 0 &&
	       (unsigned long long)room.f_bavail * room.f_bsize >> 20 >= mib;
}

/* PATH datagram|stream: a socket that the program listens at. */
static bool step_socket(struct begun *b, char **words)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	bool stream = strcmp(words[1], "stream") == 0;

	if (strlen(words[0]) >= sizeof(address.sun_path))
		return false;
	strcpy(address.sun_path, words[0]);
	b->socket_fd = socket(AF_UNIX, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (b->socket_fd < 0 || bind(b->socket_fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return false;
	if (chmod(words[0], 0600) != 0 || (b->has_user && lchown(words[0], b->uid, b->uid) != 0))
		return false;
	return !stream || listen(b->socket_fd, 1) == 0;
}

/* For the VM; the hypervisor inherits it in the order of the steps. */
static bool pass(struct begun *b, int fd)
{
	if (fd < 0)
		return false;
	if (b->passed == COUNT_OF(b->pass)) {
		close(fd);
		return false;
	}
	b->pass[b->passed++] = fd;
	return true;
}

/* PATH FLAGS: of open(2), in decimal. */
static bool step_open(struct begun *b, char **words)
{
	unsigned long long flags;

	return number(words[1], &flags) && pass(b, open(words[0], (int)flags | O_CLOEXEC, 0600));
}

/* PATH: a FIFO that is made. */
static bool step_fifo(struct begun *b, char **words)
{
	return mkfifo(words[0], 0600) == 0 && pass(b, open(words[0], O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

/* In the child. What it inherits is put out of the way first: one may stand where another shall be. */
static _Noreturn void start(int *pass, unsigned passed, int stderr_fd, const char *self, char **words)
{
	int base = 3 + (int)passed, nothing = open("/dev/null", O_RDWR);

	setsid();
	reset_signals();
	for (unsigned each = 0; each < passed; each++)
		pass[each] = fcntl(pass[each], F_DUPFD, base + 8);
	nothing = fcntl(nothing, F_DUPFD, base + 8);
	stderr_fd = fcntl(stderr_fd, F_DUPFD, base + 8);
	for (unsigned each = 0; each < passed; each++)
		if (dup2(pass[each], 3 + (int)each) < 0)
			_exit(EXIT_TROUBLE);
	if (dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(stderr_fd, 2) < 0)
		_exit(EXIT_TROUBLE);
	close_from(base);
	execv(self, words);
	_exit(EXIT_CANNOT_RUN);
}

/* ARGUMENT...: of the launcher itself. */
static bool step_start(struct begun *b, const char *self, char **words, size_t count)
{
	static char *environment[] = { NULL };
	char *argv[MAX_WORDS + 2];

	argv[0] = (char *)self;
	memcpy(argv + 1, words, (count + 1) * sizeof(*words));
	if (b->janitor == 0)
		return false;
	/* `b` is changed for both of us from now on. */
	int pass[COUNT_OF(b->pass)], end = b->stderr_end;
	unsigned passed = b->passed;
	memcpy(pass, b->pass, sizeof(pass));
	pid_t pid = fork();
	if (pid == 0) {
		extern char **environ;

		environ = environment;
		start(pass, passed, end, self, argv);
	}
	close(b->stderr_end);
	b->stderr_end = -1;
	for (unsigned each = 0; each < b->passed; each++)
		close(b->pass[each]);
	b->passed = 0;
	b->pid = pid;
	return pid > 0;
}

static const struct {
	const char *name;
	size_t words;
	bool (*carry_out)(struct begun *, char **);
} STEPS[] = {
	{ "own", 1, step_own },           { "lock", 1, step_lock },     { "directory", 1, step_directory },
	{ "new", 1, step_new },           { "uid", 5, step_uid },       { "readable", 1, step_readable },
	{ "room", 2, step_room },         { "socket", 2, step_socket }, { "open", 2, step_open },
	{ "fifo", 1, step_fifo },         { "macs", 1, step_macs },     { "boot", 1, step_boot },
	{ "note", 1, step_note },
};

static bool carry_out(struct begun *b, const char *self, char **words, size_t count)
{
	if (strcmp(words[0], "start") == 0)
		return step_start(b, self, words + 1, count - 1);
	for (size_t each = 0; each < COUNT_OF(STEPS); each++)
		if (strcmp(words[0], STEPS[each].name) == 0)
			return count - 1 == STEPS[each].words && STEPS[each].carry_out(b, words + 1);
	return false;
}

bool recipe_carry_out(struct begun *b, const struct memo *memo, const char *self)
{
	const char *at = memo->recipe, *end = at + memo->recipe_len;
	uint8_t random[5];

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return false;
	snprintf(b->id, sizeof(b->id), "pod-%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4]);
	while (at < end) {
		unsigned long long count;
		char *words[MAX_WORDS + 1];

		if (!number(at, &count) || count == 0 || count > MAX_WORDS)
			return false;
		at += strlen(at) + 1;
		for (size_t each = 0; each < count; each++) {
			if (at >= end || (words[each] = filled(b, at)) == NULL)
				return false;
			at += strlen(at) + 1;
		}
		words[count] = NULL;
		if (!carry_out(b, self, words, (size_t)count))
			return false;
	}
	return b->pid > 0;
}
