/* The shared part of the kinds of kernel objects in the guest `objects`: how a kind is
 * described, how a difference is reported, and their common table of descriptors. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* One way to change a kind's state. It ignores errors, since another one may have closed
 * what it works on. */
struct spoil {
	const char *name;
	void (*act)(void);
};

/* `set` is called for level 1 first, and for a higher one on the state of the one below.
 * `check` may consume what it looks at. */
struct kind {
	const char *name;
	void (*set)(int level);
	void (*check)(int level);
	struct spoil spoils[12];
};

static char base[PATH_MAX];
static const char *checked = "fds";
static char difference[8192];
static jmp_buf found;

/* Ends the check with what differs. */
static inline void __attribute__((noreturn, format(printf, 1, 2))) differs(const char *format, ...)
{
	va_list arguments;
	int length = snprintf(difference, sizeof difference, "%s: ", checked);
	va_start(arguments, format);
	vsnprintf(difference + length, sizeof difference - length, format, arguments);
	va_end(arguments);
	longjmp(found, 1);
}

#define WANT(condition, ...)                      \
	do {                                      \
		if (!(condition))                 \
			differs(__VA_ARGS__);     \
	} while (0)

#define SAME(is, was, ...)                                                      \
	do {                                                                    \
		long long is_ = (is), was_ = (was);                             \
		char what_[200];                                                \
		snprintf(what_, sizeof what_, __VA_ARGS__);                     \
		WANT(is_ == was_, "%s is %lld and was %lld", what_, is_, was_); \
	} while (0)

/* A call that can't fail: that it does is a difference in a check, and an end in a `set`. */
static int is_checking;

#define DO(call)                                                        \
	({                                                              \
		__typeof__(call) result_ = (call);                      \
		if ((long)result_ == -1 && is_checking)                 \
			differs("%s: %s", #call, strerror(errno));      \
		else if ((long)result_ == -1)                           \
			BROKEN("%s: %s", #call, strerror(errno));       \
		result_;                                                \
	})

/* A path in the directory where the guest was started, wherever it is now. Several can be
 * used at once. */
static inline const char *at(const char *name)
{
	static char paths[4][PATH_MAX + 64];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", base, name);
	return path;
}

/* Byte number `index` of a pattern. */
static inline char pattern(long index, int tag)
{
	return (char)(index * 7 + index / 251 + tag * 31);
}

static inline void fill(char *bytes, long length, int tag)
{
	for (long index = 0; index < length; index++)
		bytes[index] = pattern(index, tag);
}

/* A file of this pattern. */
static inline void make_file(const char *name, int length, int tag)
{
	char bytes[length];
	fill(bytes, length, tag);
	int fd = DO(open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644));
	DO(write(fd, bytes, length));
	close(fd);
}

/* What a spoil opens goes to high numbers, so that it is not taken for what another one has
 * closed. */
static inline int aloft(int fd)
{
	int high = fcntl(fd, F_DUPFD, 300);
	if (fd >= 0 && fd < 300)
		close(fd);
	return high;
}

/* Reads what is there, never waiting for more; the number of bytes, or -1. */
static inline long drink(int fd, void *bytes, long length)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	if (poll(&ready, 1, 0) != 1) {
		errno = EAGAIN;
		return -1;
	}
	return read(fd, bytes, length);
}

/* Reads until there is no more. */
static inline void drain(int fd)
{
	char bytes[65536];
	for (int times = 0; times < 64 && drink(fd, bytes, sizeof bytes) > 0; times++)
		;
}

/* Writes if there is room. */
static inline long pour(int fd, const void *bytes, long length)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	if (poll(&ready, 1, 0) != 1)
		return -1;
	return write(fd, bytes, length);
}

static inline int is_ready(int fd, int milliseconds)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	return poll(&ready, 1, milliseconds) == 1;
}

/* The next bytes of a stream are these, however many reads they take, and no more wait. */
static inline void reads(int fd, const char *bytes, long length, const char *what)
{
	char read_[length + 1];
	long got = 0, more;
	while (got <= length && (more = drink(fd, read_ + got, length + 1 - got)) > 0)
		got += more;
	SAME(got, length, "%s: the number of bytes that wait", what);
	WANT(memcmp(read_, bytes, length) == 0, "%s: other bytes wait: %.*s", what, (int)length,
	     read_);
}

/* Nothing waits, and more may come. */
static inline void waits(int fd, const char *what)
{
	char bytes[256];
	long got = drink(fd, bytes, sizeof bytes);
	WANT(got == -1 && errno == EAGAIN, "%s: should wait: %ld, %s", what, got,
	     got < 0 ? strerror(errno) : "no error");
}

/* Nothing waits, and nothing will come. */
static inline void ends(int fd, const char *what)
{
	char byte;
	long got = drink(fd, &byte, 1);
	WANT(got == 0, "%s: no end of file: %ld, %s", what, got,
	     got < 0 ? strerror(errno) : "no error");
}

/* Nobody will read what would be written. */
static inline void is_broken(int fd, const char *what)
{
	char byte = 'x';
	WANT(write(fd, &byte, 1) == -1 && errno == EPIPE, "%s takes a byte", what);
}

/* Sends a text, and a descriptor with it. */
static inline void hand_over(int socket, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = { .header = { CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec part = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof control };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	DO(sendmsg(socket, &message, MSG_DONTWAIT));
}

/* What a stream has been given by a level, one after the other. */
static inline const char *said(int level)
{
	return (const char *[]){ "", "one;", "one;two-two;", "one;two-two;three;" }[level];
}

static inline const char *says(int level)
{
	return said(level) + strlen(said(level - 1));
}

static inline void say(int fd, int level)
{
	DO(write(fd, says(level), strlen(says(level))));
}

/* A whole file of /proc as text. */
static inline const char *text_of(const char *path)
{
	static char text[65536];
	long length = 0, more;
	int fd = open(path, O_RDONLY);
	while ((more = read(fd, text + length, sizeof text - 1 - length)) > 0)
		length += more;
	text[length] = 0;
	close(fd);
	return text;
}

static inline int in_order(const void *one, const void *other)
{
	return strcmp(*(char *const *)one, *(char *const *)other);
}

/* The lines of a descriptor's fdinfo that begin with one of these words, sorted, and without
 * what follows the word `until`: what names an inode is not to be compared. */
static inline void info_of(int fd, const char *const *words, const char *until, char *list, size_t size)
{
	char path[64], *lines[128], *rest;
	int count = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	char *text = strdup(text_of(path));
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		for (const char *const *word = words; *word; word++)
			if (strncmp(line, *word, strlen(*word)) == 0 && count < 128) {
				char *end = until ? strstr(line, until) : NULL;
				if (end)
					*end = 0;
				lines[count++] = line;
			}
	qsort(lines, count, sizeof *lines, in_order);
	*list = 0;
	for (int line = 0; line < count && strlen(list) + strlen(lines[line]) + 3 < size; line++) {
		char *to = list + strlen(list);
		/* White space is there to make columns. */
		for (const char *from = lines[line]; *from; from++)
			if (*from == '\t' || (*from == ' ' && from[1] == ' '))
				continue;
			else
				*to++ = *from;
		strcpy(to, "; ");
	}
	free(text);
}

/* The table of descriptors: numbers, flags, what they lead to, and which are one. */
#define MOST_FDS 400

struct entry {
	int is_open, fd_flags, flags, one_with;
	char target[160];
};

static struct entry table[MOST_FDS];
/* What was open before anything was set. */
static char foreign[MOST_FDS];

static inline void look_up(struct entry *entries)
{
	char path[64];
	for (int fd = 3; fd < MOST_FDS; fd++) {
		struct entry *entry = &entries[fd];
		memset(entry, 0, sizeof *entry);
		entry->fd_flags = fcntl(fd, F_GETFD);
		if (foreign[fd] || entry->fd_flags < 0)
			continue;
		entry->is_open = 1;
		entry->flags = fcntl(fd, F_GETFL);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, entry->target, sizeof entry->target - 1) < 0)
			strcpy(entry->target, "?");
		/* A pipe that was made again has another number. */
		if (strncmp(entry->target, "pipe:", 5) == 0 ||
		    strncmp(entry->target, "socket:", 7) == 0)
			*strchr(entry->target, ':') = 0;
		for (int other = 3; other < fd && !entry->one_with; other++)
			if (entries[other].is_open &&
			    strcmp(entries[other].target, entry->target) == 0 &&
			    syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, other) == 0)
				entry->one_with = other;
	}
}

static inline void check_table(void)
{
	static struct entry now[MOST_FDS];
	checked = "fds";
	look_up(now);
	for (int fd = 3; fd < MOST_FDS; fd++) {
		struct entry *is = &now[fd], *was = &table[fd];
		WANT(is->is_open || !was->is_open, "%d is closed and was %s", fd, was->target);
		WANT(was->is_open || !is->is_open, "%d is %s and was closed", fd, is->target);
		WANT(strcmp(is->target, was->target) == 0, "%d is %s and was %s", fd, is->target,
		     was->target);
		SAME(is->one_with, was->one_with, "what %d (%s) is a dup of", fd, was->target);
		SAME(is->fd_flags, was->fd_flags, "the FD_CLOEXEC of %d (%s)", fd, was->target);
		SAME(is->flags, was->flags, "the status flags of %d (%s)", fd, was->target);
	}
}

#define EVERY_FD(fd)                         \
	for (int fd = 3; fd < MOST_FDS; fd++) \
		if (table[fd].is_open)

static inline void close_all(void)
{
	EVERY_FD(fd)
		close(fd);
}

static inline void replace_all(void)
{
	int null = aloft(open("/dev/null", O_RDWR));
	EVERY_FD(fd)
		dup2(null, fd);
	close(null);
}

static inline void make_all_one(void)
{
	int first = -1;
	EVERY_FD(fd) {
		if (first < 0)
			first = fcntl(fd, F_DUPFD, MOST_FDS);
		dup2(first, fd);
	}
	close(first);
}

static inline void toggle_cloexec(void)
{
	EVERY_FD(fd)
		fcntl(fd, F_SETFD, table[fd].fd_flags ^ FD_CLOEXEC);
}

static inline void toggle_nonblock(void)
{
	EVERY_FD(fd)
		fcntl(fd, F_SETFL, table[fd].flags ^ O_NONBLOCK);
}

static inline void open_more(void)
{
	for (int more = 0; more < 8; more++)
		open("/dev/null", more % 2 ? O_RDONLY : O_RDWR | O_CLOEXEC);
}

/* These come last: what others work on is still there then. `open` must be the last one. */
static const struct spoil of_all[] = {
	{ "cloexec", toggle_cloexec }, { "nonblock", toggle_nonblock }, { "one", make_all_one },
	{ "replace", replace_all },    { "close", close_all },		{ "open", open_more },
};
