/* Guest: has many objects of one kind, to measure the cost of a take. Each command makes more:
 * `children N`, each with a pair of pipes to it and all earlier pipes, but without the program's
 * own eventfd; `stale N` epoll registrations with their number closed, `fresh N` others,
 * `mixed N` of all sorts; `locks N` files with a lock each; `counters N`, `sockets N` pairs,
 * `memory N` shared mappings, `watches N`. `check` checks that the epoll has every registration. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int epoll = -1, registered;
static int counters[4096];

static void children(int count)
{
	/* Something that is the program's alone: the look for others finds no early end. */
	static int own = -1;
	if (own < 0)
		own = eventfd(0, 0);
	for (int at = 0; at < count; at++) {
		int to[2], from[2];
		if (pipe2(to, 0) || pipe2(from, 0))
			BROKEN("pipe: %s", strerror(errno));
		pid_t child = fork();
		if (child < 0)
			BROKEN("fork: %s", strerror(errno));
		if (child == 0) {
			close(own);
			for (;;)
				pause();
		}
		close(to[0]);
		close(from[1]);
	}
}

static void enlist(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = registered };
	if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		BROKEN("epoll: %s", strerror(errno));
	counters[registered++] = fcntl(fd, F_DUPFD, 2000);
}

static void registrations(int count, int is_stale)
{
	for (int at = 0; at < count; at++) {
		int fd = eventfd(0, EFD_NONBLOCK);
		enlist(fd);
		if (is_stale)
			close(fd);
	}
}

/* On the list and not, under the number it has, under one that it had, under one that
 * another has now, and under two: in an order that is not the kernel's. */
static void mixed(int count)
{
	int last = eventfd(0, EFD_NONBLOCK);
	for (int at = 0; at < count; at++) {
		int fd = eventfd(0, EFD_NONBLOCK), other;
		switch (rand() % 6) {
		case 0:
			break;
		case 1:
			enlist(fd);
			break;
		case 2:
			enlist(fd);
			close(fd);
			break;
		case 3:
			enlist(fd);
			dup2(last, fd);
			break;
		case 4:
			enlist(fd);
			enlist(other = dup(fd));
			close(other);
			break;
		default:
			enlist(fd);
			/* The same number again, of another file. */
			close(fd);
			enlist(eventfd(0, EFD_NONBLOCK));
		}
	}
}

static void check(void)
{
	static struct epoll_event events[4096];
	for (int at = 0; at < registered; at++)
		if (eventfd_write(counters[at], 1))
			BROKEN("eventfd: %s", strerror(errno));
	int ready = epoll_wait(epoll, events, 4096, 0), right = 0;
	eventfd_t count;
	/* Each of them is ready, once, and is what it says: alone in not being ready then. */
	static char seen[4096];
	memset(seen, 0, sizeof seen);
	for (int at = 0; at < ready; at++)
		right += !seen[events[at].data.u64]++;
	for (int at = 0; at < registered; at++)
		eventfd_read(counters[at], &count);
	if (epoll_wait(epoll, events, 4096, 0) != 0)
		BROKEN("something is ready that is none of ours");
	for (int at = 0; at < registered; at += 1 + registered / 50) {
		eventfd_write(counters[at], 1);
		ready = epoll_wait(epoll, events, 4096, 0);
		int is_it = 0;
		for (int told = 0; told < ready; told++)
			is_it |= events[told].data.u64 == (unsigned)at;
		eventfd_read(counters[at], &count);
		if (!is_it || ready > 2)
			BROKEN("%d is told as another", at);
	}
	answer("ok %d of %d", right, registered);
}

static void locks(int count)
{
	static int next;
	for (int end = next + count, at; (at = next) < end; next++) {
		char name[40];
		snprintf(name, sizeof name, "locked-%d", at);
		int fd = open(name, O_RDWR | O_CREAT, 0600);
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
		if (fd < 0 || fcntl(fd, F_SETLK, &lock) || fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_start = 10000, .l_len = 1 }))
			BROKEN("lock: %s", strerror(errno));
	}
}

int main(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
	epoll = epoll_create1(0);
	for (const char *line; (line = command());) {
		int count = 0, two[2];
		if (is(line, "check")) {
			check();
			continue;
		}
		if (sscanf(line, "children %d", &count) == 1)
			children(count);
		else if (sscanf(line, "stale %d", &count) == 1)
			registrations(count, 1);
		else if (sscanf(line, "fresh %d", &count) == 1)
			registrations(count, 0);
		else if (sscanf(line, "mixed %d", &count) == 1)
			mixed(count);
		else if (sscanf(line, "locks %d", &count) == 1)
			locks(count);
		else if (sscanf(line, "counters %d", &count) == 1)
			for (int at = 0; at < count; at++)
				eventfd(0, 0);
		else if (sscanf(line, "sockets %d", &count) == 1)
			for (int at = 0; at < count; at++)
				socketpair(AF_UNIX, SOCK_STREAM, 0, two);
		else if (sscanf(line, "memory %d", &count) == 1)
			for (int at = 0; at < count; at++)
				mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		else if (sscanf(line, "watches %d", &count) == 1) {
			int watches = inotify_init();
			for (int at = 0; at < count; at++) {
				char name[40];
				snprintf(name, sizeof name, "watched-%d", at);
				close(open(name, O_RDWR | O_CREAT, 0600));
				inotify_add_watch(watches, name, IN_MODIFY);
			}
		} else {
			answer("err %s", line);
			continue;
		}
		answer("ok");
	}
	exit(0);
}
