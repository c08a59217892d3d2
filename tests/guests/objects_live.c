/* Guest: closes its end of an object while another process watches the other end, which must
 * see the same while copies of the program exist.
 *
 * `open` makes everything, with a child at the other ends of two pipes, and `connect PORT` a
 * connection. Then each command closes an end and looks at the other: `writer`, `reader`,
 * `fifo`, `pair`, `rights`, `epoll`, `child-reads`, `child-writes`, `tcp`, `tcp-half`. A
 * child's input can also end by `child-reads-dup2` and `child-reads-range`, and `tcp-epoll`
 * reads an interest list right after a connection has been closed. `again` checks that all is
 * open and works; `tcp-again` that a dead connection is still a connection, closed by the other
 * side. */
#include "objects.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int written[2], read_[2], fifo[2], pair[2], parcel[2], parcel_pipe[2];
static int poller, counter, polled[2], polled_pair[2];
/* To the child, from it, and what it says of either. */
static int to_child[2], from_child[2], reports[2];
static int connection = -1;

/* Both wait for the parent alone, and say what they have seen. The first reads until the end,
 * the second waits until nobody can read any more. */
static void be_child(int is_reader)
{
	char byte;
	struct pollfd broken = { .fd = from_child[1] };
	int keep[] = { is_reader ? to_child[0] : from_child[1], reports[1] };
	for (int fd = 3; fd < 20; fd++)
		if (fd != keep[0] && fd != keep[1])
			close(fd);
	if (is_reader)
		while (read(to_child[0], &byte, 1) > 0)
			(void)!write(reports[1], &byte, 1);
	else
		while (poll(&broken, 1, -1) < 0 || !(broken.revents & POLLERR))
			;
	_exit(write(reports[1], is_reader ? "end" : "broken", is_reader ? 3 : 6) < 0);
}

static void enrol(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	DO(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

static void open_all(void)
{
	/* The children first, so that they have no end of the others. */
	DO(pipe(to_child));
	DO(pipe(from_child));
	DO(pipe2(reports, O_NONBLOCK));
	for (int is_reader = 0; is_reader < 2; is_reader++)
		if (DO(fork()) == 0)
			be_child(is_reader);
	close(to_child[0]);
	close(from_child[1]);
	close(reports[1]);
	DO(pipe2(written, O_NONBLOCK));
	DO(pipe2(read_, O_NONBLOCK));
	DO(pipe2(polled, O_NONBLOCK));
	DO(pipe2(parcel_pipe, O_NONBLOCK));
	DO(mkfifo(at("fifo"), 0600));
	fifo[0] = DO(open(at("fifo"), O_RDONLY | O_NONBLOCK));
	fifo[1] = DO(open(at("fifo"), O_WRONLY | O_NONBLOCK));
	DO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	DO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, parcel));
	DO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, polled_pair));
	hand_over(parcel[0], "x", parcel_pipe[1]);
	close(parcel_pipe[1]);
	DO(write(written[1], "left", 4));
	/* All are ready, so each is reported for as long as it is open. */
	counter = DO(eventfd(1, EFD_NONBLOCK));
	poller = DO(epoll_create1(0));
	DO(write(polled[1], "x", 1));
	DO(write(polled_pair[1], "x", 1));
	enrol(counter);
	enrol(polled[0]);
	enrol(polled_pair[0]);
}

static int reported(void)
{
	struct epoll_event events[8];
	return DO(epoll_wait(poller, events, 8, 0));
}

/* A child's report comes, after what it has read. */
static void hears(const char *wanted)
{
	char text[64];
	long got;
	WANT(is_ready(reports[0], 10000), "the child does not say: %s", wanted);
	got = read(reports[0], text, sizeof text);
	WANT(got == (long)strlen(wanted) && memcmp(text, wanted, got) == 0,
	     "the child says \"%.*s\" instead of \"%s\"", got > 0 ? (int)got : 0, text, wanted);
}

/* Neither end can be told from one that was never closed. */
static void is_whole(int in, int out, const char *what)
{
	waits(in, what);
	DO(write(out, "whole", 5));
	reads(in, "whole", 5, what);
}

static void again(void)
{
	char byte;
	reads(written[0], "left", 4, "a pipe whose writer the branch has closed");
	is_whole(written[0], written[1], "a pipe whose writer the branch has closed");
	is_whole(read_[0], read_[1], "a pipe whose reader the branch has closed");
	is_whole(fifo[0], fifo[1], "a FIFO");
	is_whole(pair[0], pair[1], "a pair");
	is_whole(pair[1], pair[0], "a pair, the other way");
	waits(parcel_pipe[0], "a pipe whose writer is in flight");
	SAME(reported(), 3, "what is ready");
	SAME(drink(parcel[1], &byte, 1), 1, "what has gone with a parcel");
}

static void connect_to(int port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	connection = DO(socket(AF_INET, SOCK_STREAM, 0));
	DO(connect(connection, (struct sockaddr *)&name, sizeof name));
}

static void is_closed_by_the_peer(void)
{
	int on = 1;
	DO(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
	ends(connection, "a connection that the branch has closed");
	is_broken(connection, "a connection that the branch has closed");
}

static void obey(const char *line)
{
	int port;
	if (is(line, "open")) {
		open_all();
	} else if (sscanf(line, "connect %d", &port) == 1) {
		connect_to(port);
	} else if (is(line, "writer")) {
		close(written[1]);
		reads(written[0], "left", 4, "a pipe");
		ends(written[0], "a pipe whose writer is closed");
	} else if (is(line, "reader")) {
		close(read_[0]);
		is_broken(read_[1], "a pipe whose reader is closed");
	} else if (is(line, "fifo")) {
		close(fifo[1]);
		ends(fifo[0], "a FIFO whose writer is closed");
	} else if (is(line, "pair")) {
		close(pair[1]);
		ends(pair[0], "a socket whose peer is closed");
		is_broken(pair[0], "a socket whose peer is closed");
	} else if (is(line, "rights")) {
		/* The last writer of this pipe is in flight, and is closed with what it is in. */
		waits(parcel_pipe[0], "a pipe whose writer is in flight");
		close(parcel[1]);
		close(parcel[0]);
		ends(parcel_pipe[0], "a pipe whose writer was in flight");
	} else if (is(line, "epoll")) {
		SAME(reported(), 3, "what is ready");
		close(counter);
		SAME(reported(), 2, "what is ready without a counter");
		close(polled[0]);
		SAME(reported(), 1, "what is ready without a pipe");
		close(polled_pair[0]);
		SAME(reported(), 0, "what is ready without a socket");
	} else if (is(line, "child-reads")) {
		DO(write(to_child[1], "a", 1));
		hears("a");
		close(to_child[1]);
		hears("end");
	} else if (is(line, "child-reads-dup2")) {
		DO(dup2(counter, to_child[1]));
		hears("end");
	} else if (is(line, "child-reads-range")) {
		DO(close_range(to_child[1], to_child[1], 0));
		hears("end");
	} else if (is(line, "child-writes")) {
		close(from_child[0]);
		hears("broken");
	} else if (is(line, "tcp-epoll")) {
		enrol(connection);
		SAME(reported(), 4, "what is ready with a connection");
		close(connection);
		SAME(reported(), 3, "what is ready without a connection");
	} else if (is(line, "tcp")) {
		DO(write(connection, "last", 4));
		close(connection);
	} else if (is(line, "tcp-again")) {
		is_closed_by_the_peer();
	} else if (is(line, "tcp-half")) {
		DO(write(connection, "last", 4));
		DO(shutdown(connection, SHUT_WR));
	} else if (is(line, "again")) {
		again();
	} else {
		differs("no such command: %s", line);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	/* What has ended is nobody's to wait for. */
	signal(SIGCHLD, SIG_IGN);
	if (!getcwd(base, sizeof base))
		BROKEN("getcwd: %s", strerror(errno));
	checked = "live";
	is_checking = 1;
	for (const char *line; (line = command());) {
		if (setjmp(found)) {
			answer("err %s", difference);
			continue;
		}
		obey(line);
		answer("ok");
	}
	exit(0);
}
