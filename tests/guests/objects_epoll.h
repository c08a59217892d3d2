/* Epoll: registrations of every sort, nested ones, and stale ones: their number was closed, or
 * is another file's by now. Most of them are for counters. */
#include <sys/epoll.h>

enum target { LEVEL, EDGE, FIRED, ONESHOT, QUIET, INNER_ONE, REUSED, TARGETS };
static struct {
	int outer, inner, target[TARGETS], stale, stale_number, read_end, write_end, shut;
} poller;
static char registrations[2][2048];
static const char *const registration_words[] = { "tfd", NULL };
#define STALE 0x57a1eULL
#define INNER 0x1221ULL
#define PIPE 0xb1beULL

static void enrol(int epoll, int operation, int fd, unsigned events, unsigned long data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };
	epoll_ctl(epoll, operation, fd, &event);
}

/* The events of `data` that are reported now, 0 where there is none. */
static unsigned reported(int epoll, unsigned long data)
{
	struct epoll_event events[32];
	unsigned result = 0;
	int count = epoll_wait(epoll, events, 32, 0);
	for (int event = 0; event < count; event++)
		if (events[event].data.u64 == data)
			result |= events[event].events;
	return result;
}

static void note_registrations(char (*lists)[2048])
{
	info_of(poller.outer, registration_words, " pos:", lists[0], sizeof lists[0]);
	info_of(poller.inner, registration_words, " pos:", lists[1], sizeof lists[1]);
}

static void make_poller(void)
{
	int ends_[2];
	poller.outer = DO(epoll_create1(EPOLL_CLOEXEC));
	poller.inner = DO(epoll_create1(0));
	for (int target = 0; target < TARGETS; target++)
		poller.target[target] = DO(eventfd(target == QUIET ? 0 : 1, EFD_NONBLOCK));
	enrol(poller.outer, EPOLL_CTL_ADD, poller.target[LEVEL], EPOLLIN, LEVEL);
	enrol(poller.outer, EPOLL_CTL_ADD, poller.target[EDGE], EPOLLIN | EPOLLET, EDGE);
	enrol(poller.outer, EPOLL_CTL_ADD, poller.target[FIRED], EPOLLIN | EPOLLONESHOT, FIRED);
	enrol(poller.outer, EPOLL_CTL_ADD, poller.target[QUIET], EPOLLIN | EPOLLPRI, QUIET);
	enrol(poller.inner, EPOLL_CTL_ADD, poller.target[INNER_ONE], EPOLLIN, INNER_ONE);
	enrol(poller.outer, EPOLL_CTL_ADD, poller.inner, EPOLLIN, INNER);
	DO(pipe2(ends_, O_NONBLOCK));
	poller.read_end = ends_[0];
	poller.write_end = ends_[1];
	enrol(poller.outer, EPOLL_CTL_ADD, poller.read_end, EPOLLIN | EPOLLRDHUP, PIPE);
	/* A registration outlives its number where a dup keeps the file. */
	poller.stale_number = DO(eventfd(0, EFD_NONBLOCK));
	enrol(poller.outer, EPOLL_CTL_ADD, poller.stale_number, EPOLLIN, STALE);
	poller.stale = DO(dup(poller.stale_number));
	/* The number is another file's then, which is registered as well. */
	DO(dup2(poller.target[REUSED], poller.stale_number));
	enrol(poller.outer, EPOLL_CTL_ADD, poller.stale_number, EPOLLIN, REUSED);
	if (!(reported(poller.outer, EDGE) & EPOLLIN))
		BROKEN("no edge");
	/* Added last: it has not been reported. */
	enrol(poller.outer, EPOLL_CTL_ADD, poller.target[ONESHOT], EPOLLIN | EPOLLONESHOT, ONESHOT);
}

static void set_epoll(int level)
{
	if (level == 1)
		make_poller();
	else if (level == 2)
		enrol(poller.outer, EPOLL_CTL_MOD, poller.target[LEVEL], EPOLLIN | EPOLLOUT, 0x1e2e1);
	else
		enrol(poller.inner, EPOLL_CTL_DEL, poller.target[INNER_ONE], 0, 0);
	note_registrations(registrations);
}

static void check_epoll(int level)
{
	char lists[2][2048];
	struct epoll_event events[32];
	unsigned seen[TARGETS + 1] = { 0 }, stale = 0, inner = 0, pipe_ = 0;
	note_registrations(lists);
	for (int list = 0; list < 2; list++)
		WANT(strcmp(lists[list], registrations[list]) == 0,
		     "the %s list is %s and was %s", list ? "inner" : "outer", lists[list],
		     registrations[list]);
	int count = epoll_wait(poller.outer, events, 32, 0);
	for (int event = 0; event < count; event++) {
		unsigned long data = events[event].data.u64;
		unsigned *slot = data == STALE ? &stale : data == INNER ? &inner :
				 data == PIPE ? &pipe_ : data == 0x1e2e1 ? &seen[LEVEL] :
				 data < TARGETS ? &seen[data] : &seen[TARGETS];
		*slot |= events[event].events;
	}
	SAME(seen[LEVEL], EPOLLIN | (level > 1 ? EPOLLOUT : 0), "what is level-triggered");
	/* An edge that was seen may be seen once more. */
	WANT(!(seen[EDGE] & ~EPOLLIN), "the edge is %x", seen[EDGE]);
	SAME(seen[FIRED], 0, "what has fired its one shot");
	SAME(seen[ONESHOT], EPOLLIN, "what has a shot");
	SAME(seen[QUIET], 0, "what is quiet");
	SAME(seen[REUSED], EPOLLIN, "what has a number that was another's");
	SAME(seen[TARGETS], 0, "what was never registered");
	SAME(inner, level < 3 ? EPOLLIN : 0, "the list in the list");
	SAME(stale, 0, "what has no number, quiet");
	SAME(pipe_, 0, "an empty pipe");

	SAME(reported(poller.outer, ONESHOT), 0, "what has fired");
	SAME(reported(poller.outer, EDGE), 0, "an edge that was told");
	count_up(poller.target[EDGE], 1);
	SAME(reported(poller.outer, EDGE), EPOLLIN, "a new edge");
	SAME(reported(poller.outer, EDGE), 0, "a new edge that was told");
	enrol(poller.outer, EPOLL_CTL_MOD, poller.target[FIRED], EPOLLIN | EPOLLONESHOT, FIRED);
	SAME(reported(poller.outer, FIRED), EPOLLIN, "what has a new shot");
	count_up(poller.target[QUIET], 1);
	SAME(reported(poller.outer, QUIET), EPOLLIN, "what was quiet");
	count_up(poller.stale, 1);
	SAME(reported(poller.outer, STALE), EPOLLIN, "what has no number");
	if (level < 3)
		SAME(reported(poller.inner, INNER_ONE), EPOLLIN, "what is in the inner list");
	(void)!write(poller.write_end, "x", 1);
	SAME(reported(poller.outer, PIPE), EPOLLIN, "a pipe with data");
	close(poller.write_end);
	SAME(reported(poller.outer, PIPE), EPOLLIN | EPOLLHUP, "a pipe without a writer");
	close(poller.stale);
	SAME(reported(poller.outer, STALE), 0, "what is closed");
}

static void delete_targets(void)
{
	for (int target = 0; target < TARGETS; target++) {
		enrol(poller.outer, EPOLL_CTL_DEL, poller.target[target], 0, 0);
		enrol(poller.inner, EPOLL_CTL_DEL, poller.target[target], 0, 0);
	}
	enrol(poller.outer, EPOLL_CTL_DEL, poller.inner, 0, 0);
	enrol(poller.outer, EPOLL_CTL_DEL, poller.read_end, 0, 0);
}

static void modify_targets(void)
{
	for (int target = 0; target < TARGETS; target++)
		enrol(poller.outer, EPOLL_CTL_MOD, poller.target[target], EPOLLOUT, 99 + target);
	enrol(poller.outer, EPOLL_CTL_MOD, poller.read_end, EPOLLPRI, 98);
}

static void add_targets(void)
{
	enrol(poller.outer, EPOLL_CTL_ADD, poller.write_end, EPOLLOUT, 97);
	enrol(poller.outer, EPOLL_CTL_ADD, poller.stale, EPOLLIN, 96);
	enrol(poller.inner, EPOLL_CTL_ADD, poller.target[LEVEL], EPOLLIN, 95);
}

static void fire_targets(void)
{
	/* What has fired is reported again, and all shots are fired. */
	enrol(poller.outer, EPOLL_CTL_MOD, poller.target[FIRED], EPOLLIN, FIRED);
	reported(poller.outer, 0);
}

static void ready_targets(void)
{
	count_up(poller.target[QUIET], 1);
	count_up(poller.stale, 1);
	drain(poller.target[LEVEL]);
	drain(poller.target[REUSED]);
}

static void close_targets(void)
{
	close(poller.stale);
	close(poller.read_end);
	close(poller.inner);
	close(poller.target[QUIET]);
}

static void replace_poller(void)
{
	int fd = aloft(epoll_create1(0));
	dup3(fd, poller.outer, O_CLOEXEC);
	close(fd);
}
