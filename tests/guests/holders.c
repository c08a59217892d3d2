/* Guest: children of several kinds. Each shares a page of memory, a counter and a pipe with the
 * program, and with no other process.
 *
 * `child`, `child NAME` (it takes that name) and `leaderless` (its first thread has ended) start
 * one more; `trace` one that the program traces, `share` one that shares descriptors and
 * directory with it; `change` changes the objects of each, `look` prints them all. `own` makes
 * an eventfd, a pipe and an epoll for the program alone, and `use` uses them. `spoil` keeps some
 * more memory from copies, and `large` adds 200 MB, on one processor: a copy is then made and
 * thrown away, and ends slowly before it has run. */
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#define MOST 32
static int *pages[MOST], counters[MOST], pipes[MOST][2], children;
static int own_counter = -1, own_pipe[2], own_epoll;

static void *outlive(void *nothing)
{
	(void)nothing;
	for (;;)
		pause();
}

static void live_as(const char *name, int is_leaderless, int ready)
{
	/* Of those before it has nothing. */
	for (int other = 0; other < children; other++) {
		munmap(pages[other], 4096);
		close(counters[other]);
		close(pipes[other][0]);
		close(pipes[other][1]);
	}
	if (own_counter >= 0) {
		close(own_counter);
		close(own_pipe[0]);
		close(own_pipe[1]);
		close(own_epoll);
	}
	if (*name)
		prctl(PR_SET_NAME, name);
	if (is_leaderless)
		start(outlive, NULL);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	if (is_leaderless)
		syscall(SYS_exit, 0);
	outlive(NULL);
}

static pid_t begin(const char *name, int is_leaderless)
{
	int at = children, ready[2];
	char byte;
	if (at == MOST || pipe(ready) || pipe2(pipes[at], O_NONBLOCK))
		BROKEN("child: %s", strerror(errno));
	counters[at] = eventfd(1, EFD_NONBLOCK);
	pages[at] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pages[at][0] = 1;
	if (write(pipes[at][1], "x", 1) != 1)
		BROKEN("pipe: %s", strerror(errno));
	pid_t child = fork();
	if (child == 0) {
		close(ready[0]);
		live_as(name, is_leaderless, ready[1]);
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		BROKEN("child: %s", strerror(errno));
	close(ready[0]);
	if (is_leaderless && !LOOK(({
		    char path[40], line[256] = "";
		    snprintf(path, sizeof path, "/proc/%d/stat", child);
		    FILE *stat = fopen(path, "r");
		    if (!stat || !fgets(line, sizeof line, stat))
			    BROKEN("stat: %s", strerror(errno));
		    fclose(stat);
		    strstr(line, ") Z") != NULL;
	    })))
		BROKEN("the leader is still there");
	children++;
	return child;
}

static void change(void)
{
	for (int at = 0; at < children; at++) {
		pages[at][0]++;
		if (eventfd_write(counters[at], 1) || write(pipes[at][1], "y", 1) != 1)
			BROKEN("change: %s", strerror(errno));
	}
	answer("ok");
}

static void look(void)
{
	char told[1024] = "", bytes[256];
	for (int at = 0; at < children; at++) {
		eventfd_t count;
		ssize_t length = read(pipes[at][0], bytes, sizeof bytes);
		if (length < 0 || write(pipes[at][1], bytes, length) != length ||
		    eventfd_read(counters[at], &count) || eventfd_write(counters[at], count))
			BROKEN("look: %s", strerror(errno));
		snprintf(told + strlen(told), sizeof told - strlen(told), " %d:%d:%zd", pages[at][0],
			 (int)count, length);
	}
	answer("ok%s", told);
}

static char *kept[MOST];
static int keeps;

static void use(void)
{
	struct epoll_event event;
	eventfd_t count;
	char byte;
	for (int at = 0; at < keeps; at++)
		if (*kept[at] != 7)
			BROKEN("what was kept from copies is lost");
	if (write(own_pipe[1], "x", 1) != 1 || read(own_pipe[0], &byte, 1) != 1)
		BROKEN("own pipe: %s", strerror(errno));
	if (eventfd_write(own_counter, 1) || epoll_wait(own_epoll, &event, 1, 0) != 1 ||
	    eventfd_read(own_counter, &count) || count != 1)
		BROKEN("own counter: %s", strerror(errno));
	answer("ok");
}

static void keep_from_copies(void)
{
	/* Not next to the others: mappings of their own. */
	char *memory = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *page = memory + 4096;
	if (keeps == MOST || memory == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_WRITE) ||
	    madvise(page, 4096, MADV_DONTFORK))
		BROKEN("spoil: %s", strerror(errno));
	*page = 7;
	kept[keeps++] = page;
}

int main(void)
{
	for (const char *line; (line = command());) {
		if (is(line, "child")) {
			answer("ok %d", begin("", 0));
		} else if (strncmp(line, "child ", 6) == 0) {
			answer("ok %d", begin(line + 6, 0));
		} else if (is(line, "leaderless")) {
			answer("ok %d", begin("", 1));
		} else if (is(line, "trace")) {
			pid_t child = begin("", 0);
			if (ptrace(PTRACE_SEIZE, child, NULL, NULL))
				BROKEN("ptrace: %s", strerror(errno));
			answer("ok");
		} else if (is(line, "share")) {
			/* A child that has the same table of descriptors, and the same directory. */
			pid_t child = syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0);
			if (child == 0)
				outlive(NULL);
			answer("ok");
		} else if (is(line, "change")) {
			change();
		} else if (is(line, "look")) {
			look();
		} else if (is(line, "own")) {
			struct epoll_event event = { .events = EPOLLIN };
			own_counter = eventfd(0, EFD_NONBLOCK);
			own_epoll = epoll_create1(0);
			if (pipe2(own_pipe, O_NONBLOCK) || epoll_ctl(own_epoll, EPOLL_CTL_ADD, own_counter, &event))
				BROKEN("own: %s", strerror(errno));
			answer("ok");
		} else if (is(line, "use")) {
			use();
		} else if (is(line, "large")) {
			size_t length = 200 << 20;
			cpu_set_t one;
			CPU_ZERO(&one);
			CPU_SET(sched_getcpu(), &one);
			sched_setaffinity(0, sizeof one, &one);
			char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			madvise(memory, length, MADV_NOHUGEPAGE);
			memset(memory, 1, length);
			answer("ok");
		} else if (is(line, "spoil")) {
			keep_from_copies();
			answer("ok");
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
