/* What bytes flow through inside a process: pipes, FIFOs, socketpairs, and terminals that the
 * program has opened itself. */
#include <sys/un.h>
#include <termios.h>

/* What a stream has been given by a level, one after the other. */
static const char *said(int level)
{
	return (const char *[]){ "", "one;", "one;two-two;", "one;two-two;three;" }[level];
}

static const char *says(int level)
{
	return said(level) + strlen(said(level - 1));
}

/* Pipes. */
static struct {
	int plain[2], sized[2], packets[2], full[2], empty[2];
	int left, ended, broken, filled, dup;
} pipes;

static void say(int fd, int level)
{
	DO(write(fd, says(level), strlen(says(level))));
}

static void set_pipes(int level)
{
	char packet[256], block[4096];
	int ends_[2];
	if (level == 1) {
		DO(pipe2(pipes.plain, O_NONBLOCK | O_CLOEXEC));
		DO(pipe2(pipes.sized, O_NONBLOCK));
		DO(pipe2(pipes.packets, O_NONBLOCK | O_DIRECT));
		DO(pipe2(pipes.full, O_NONBLOCK));
		DO(pipe2(pipes.empty, O_NONBLOCK));
		pipes.dup = DO(dup(pipes.plain[1]));
		DO(pipe2(ends_, O_NONBLOCK));
		DO(write(ends_[1], "left over by the writer", 23));
		close(ends_[1]);
		pipes.left = ends_[0];
		DO(pipe2(ends_, O_NONBLOCK));
		close(ends_[1]);
		pipes.ended = ends_[0];
		DO(pipe2(ends_, O_NONBLOCK));
		close(ends_[0]);
		pipes.broken = ends_[1];
		for (fill(block, 4096, 3); write(pipes.full[1], block, 4096) == 4096;)
			pipes.filled += 4096;
	} else {
		drink(pipes.left, packet, 4);
		if (drink(pipes.full[0], block, 4096) == 4096)
			pipes.filled -= 4096;
	}
	say(pipes.plain[1], level);
	say(pipes.sized[1], level);
	DO(fcntl(pipes.sized[1], F_SETPIPE_SZ, 8192 << level));
	fill(packet, sizeof packet, level);
	DO(write(pipes.packets[1], packet, 10 * level));
	DO(write(pipes.packets[1], packet, 256));
}

static void is_packet(int fd, int length, int tag, const char *what)
{
	char packet[4096], wanted[256];
	fill(wanted, sizeof wanted, tag);
	SAME(drink(fd, packet, sizeof packet), length, "%s: the length of a packet", what);
	WANT(memcmp(packet, wanted, length) == 0, "%s: a packet with other contents", what);
}

static void check_pipes(int level)
{
	static char block[4096], got[4096];
	char byte = 'x';
	SAME(fcntl(pipes.sized[0], F_GETPIPE_SZ), 8192 << level, "the size of a pipe");
	reads(pipes.sized[0], said(level), strlen(said(level)), "a pipe with a size");
	reads(pipes.plain[0], said(level), strlen(said(level)), "a pipe");
	waits(pipes.plain[0], "a pipe that was read");
	for (int number = 1; number <= level; number++) {
		is_packet(pipes.packets[0], 10 * number, number, "a pipe of packets");
		is_packet(pipes.packets[0], 256, number, "a pipe of packets");
	}
	waits(pipes.packets[0], "a pipe of packets that was read");
	DO(write(pipes.packets[1], "ab", 2));
	DO(write(pipes.packets[1], "c", 1));
	SAME(drink(pipes.packets[0], got, sizeof got), 2, "the length of a new packet");
	reads(pipes.left, "left over by the writer" + 4 * (level - 1), 23 - 4 * (level - 1),
	      "a pipe whose writer is closed");
	ends(pipes.left, "a pipe whose writer is closed");
	ends(pipes.ended, "an empty pipe whose writer is closed");
	WANT(write(pipes.broken, &byte, 1) == -1 && errno == EPIPE,
	     "a pipe without a reader takes a byte");
	if (level == 1)
		WANT(write(pipes.full[1], &byte, 1) == -1 && errno == EAGAIN,
		     "a full pipe takes a byte");
	fill(block, sizeof block, 3);
	for (int more = 0; more < pipes.filled; more += 4096)
		WANT(drink(pipes.full[0], got, 4096) == 4096 && memcmp(got, block, 4096) == 0,
		     "a full pipe lacks what it had from byte %d on", more);
	waits(pipes.full[0], "a full pipe that was read");
	waits(pipes.empty[0], "an empty pipe");
	/* Nobody else has an end of it. */
	DO(write(pipes.empty[1], "new", 3));
	close(pipes.empty[1]);
	reads(pipes.empty[0], "new", 3, "a pipe that was empty");
	ends(pipes.empty[0], "a pipe whose writer was just closed");
	close(pipes.plain[1]);
	DO(write(pipes.dup, "by the dup", 10));
	reads(pipes.plain[0], "by the dup", 10, "a pipe whose writer has a dup");
	close(pipes.plain[0]);
	WANT(write(pipes.dup, &byte, 1) == -1 && errno == EPIPE,
	     "a pipe whose reader was just closed takes a byte");
}

static void drain_pipes(void)
{
	drain(pipes.plain[0]);
	drain(pipes.sized[0]);
	drain(pipes.packets[0]);
	drain(pipes.full[0]);
}

static void read_left(void)
{
	char bytes[7];
	drink(pipes.left, bytes, sizeof bytes);
}

static void write_pipes(void)
{
	pour(pipes.plain[1], "branch", 6);
	pour(pipes.packets[1], "branch", 6);
	pour(pipes.empty[1], "branch", 6);
	pour(pipes.sized[1], "branch", 6);
}

static void resize_pipes(void)
{
	fcntl(pipes.sized[0], F_SETPIPE_SZ, 4096);
	fcntl(pipes.plain[0], F_SETPIPE_SZ, 1 << 20);
}

static void unpack_pipes(void)
{
	fcntl(pipes.packets[1], F_SETFL, O_NONBLOCK);
	fcntl(pipes.plain[1], F_SETFL, O_NONBLOCK | O_DIRECT);
}

static void close_readers(void)
{
	close(pipes.plain[0]);
	close(pipes.packets[0]);
	close(pipes.full[0]);
	close(pipes.left);
}

static void close_writers(void)
{
	close(pipes.plain[1]);
	close(pipes.dup);
	close(pipes.empty[1]);
	close(pipes.broken);
}

static void cross_pipes(void)
{
	dup2(pipes.empty[0], pipes.plain[0]);
	dup2(pipes.empty[1], pipes.sized[1]);
}

/* FIFOs. */
static struct {
	int plain[2], both, left, dup;
} fifos;

static int open_fifo(const char *name, int flags)
{
	return open(at(name), flags | O_NONBLOCK);
}

static void set_fifos(int level)
{
	char bytes[4];
	if (level == 1) {
		DO(mkfifo(at("fifo"), 0600));
		DO(mkfifo(at("fifo-both"), 0600));
		DO(mkfifo(at("fifo-left"), 0600));
		fifos.plain[0] = DO(open_fifo("fifo", O_RDONLY | O_CLOEXEC));
		fifos.plain[1] = DO(open_fifo("fifo", O_WRONLY));
		fifos.dup = DO(dup(fifos.plain[0]));
		fifos.both = DO(open_fifo("fifo-both", O_RDWR));
		fifos.left = DO(open_fifo("fifo-left", O_RDONLY));
		int writer = DO(open_fifo("fifo-left", O_WRONLY));
		DO(write(writer, "left over by the writer", 23));
		close(writer);
	} else {
		drink(fifos.left, bytes, 4);
	}
	say(fifos.plain[1], level);
	say(fifos.both, level);
	DO(fcntl(fifos.plain[1], F_SETPIPE_SZ, 8192 << level));
}

static void check_fifos(int level)
{
	SAME(fcntl(fifos.plain[0], F_GETPIPE_SZ), 8192 << level, "the size of a FIFO");
	reads(fifos.plain[0], said(level), strlen(said(level)), "a FIFO");
	waits(fifos.dup, "a FIFO that was read");
	reads(fifos.both, said(level), strlen(said(level)), "a FIFO that is open both ways");
	waits(fifos.both, "a FIFO that is open both ways");
	reads(fifos.left, "left over by the writer" + 4 * (level - 1), 23 - 4 * (level - 1),
	      "a FIFO whose writer is closed");
	ends(fifos.left, "a FIFO whose writer is closed");
	/* It is still the one of that path. */
	int writer = open_fifo("fifo", O_WRONLY);
	WANT(writer >= 0, "the path of a FIFO has no reader");
	DO(write(writer, "by path", 7));
	reads(fifos.plain[0], "by path", 7, "a FIFO that was opened again");
	close(writer);
	close(fifos.plain[1]);
	ends(fifos.plain[0], "a FIFO whose writer was just closed");
}

static void drain_fifos(void)
{
	drain(fifos.plain[0]);
	drain(fifos.both);
	drain(fifos.left);
}

static void write_fifos(void)
{
	int writer = aloft(open_fifo("fifo-left", O_WRONLY));
	pour(fifos.plain[1], "branch", 6);
	pour(fifos.both, "branch", 6);
	pour(writer, "branch", 6);
	close(writer);
}

static void resize_fifos(void)
{
	fcntl(fifos.plain[0], F_SETPIPE_SZ, 4096);
}

static void close_fifo_readers(void)
{
	close(fifos.plain[0]);
	close(fifos.dup);
	close(fifos.left);
}

static void close_fifo_writers(void)
{
	close(fifos.plain[1]);
	close(fifos.both);
}

/* Socketpairs. */
enum pair { STREAM, DGRAM, SEQPACKET, HALF, DEAF, CARRIER, CARRIER_DGRAM, PAIRS };
static const struct {
	const char *name;
	int type;
} pair_kinds[] = { { "stream", SOCK_STREAM },
		   { "datagram", SOCK_DGRAM },
		   { "packet", SOCK_SEQPACKET },
		   { "half-closed", SOCK_STREAM },
		   { "deaf", SOCK_STREAM },
		   { "carrying", SOCK_STREAM },
		   { "carrying datagram", SOCK_DGRAM } };
static int pairs[PAIRS][2], orphan;

static void hand_over(int socket, const char *text, int fd)
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

/* Receives once; the length, and a descriptor that has come along, or -1. */
static long receive(int socket, char *text, size_t length, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof *fd)];
	} control;
	struct iovec part = { text, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof control };
	long got = recvmsg(socket, &message, MSG_DONTWAIT);
	struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
	*fd = -1;
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof *fd);
	return got;
}

/* A parcel is a pipe that has been written to. */
static void send_parcel(int socket, const char *text, int level)
{
	int ends_[2];
	DO(pipe2(ends_, O_NONBLOCK));
	say(ends_[1], level);
	hand_over(socket, text, ends_[0]);
	close(ends_[0]);
	close(ends_[1]);
}

static void is_parcel(int fd, int level, const char *what)
{
	WANT(fd >= 0, "%s: no descriptor in flight", what);
	reads(fd, says(level), strlen(says(level)), what);
	ends(fd, what);
	close(fd);
}

static void set_pairs(int level)
{
	struct timeval patience = { 100 * level, 0 };
	int ends_[2], size = 20000 * level, yes = level % 2;
	char bytes[4];
	if (level == 1) {
		for (int pair = 0; pair < PAIRS; pair++)
			DO(socketpair(AF_UNIX, pair_kinds[pair].type | SOCK_NONBLOCK, 0,
				      pairs[pair]));
		DO(write(pairs[HALF][0], "the rest", 8));
		DO(shutdown(pairs[HALF][0], SHUT_WR));
		DO(shutdown(pairs[DEAF][0], SHUT_RD));
		DO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_));
		DO(write(ends_[1], "left over by the peer", 21));
		close(ends_[1]);
		orphan = ends_[0];
		DO(send(pairs[SEQPACKET][0], "", 0, 0));
		DO(send(pairs[DGRAM][0], "", 0, 0));
	} else {
		drink(orphan, bytes, 4);
	}
	for (int pair = STREAM; pair <= SEQPACKET; pair++) {
		say(pairs[pair][0], level);
		say(pairs[pair][1], level);
		say(pairs[pair][1], level);
	}
	DO(write(pairs[CARRIER][0], "before ", 7));
	send_parcel(pairs[CARRIER][0], "with ", level);
	DO(write(pairs[CARRIER][0], "after ", 6));
	DO(write(pairs[CARRIER_DGRAM][0], "before", 6));
	send_parcel(pairs[CARRIER_DGRAM][0], "with", level);
	DO(setsockopt(pairs[STREAM][0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
	DO(setsockopt(pairs[STREAM][0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
	DO(setsockopt(pairs[STREAM][1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
}

static void is_message(int socket, const char *wanted, const char *what)
{
	char text[256];
	long got = recv(socket, text, sizeof text, MSG_DONTWAIT);
	WANT(got == (long)strlen(wanted) && memcmp(text, wanted, got) == 0,
	     "%s: the next message is \"%.*s\" (%ld) and was \"%s\"", what, got > 0 ? (int)got : 0,
	     text, got, wanted);
}

static int option(int socket, int level, int name)
{
	int value = -99;
	socklen_t length = sizeof value;
	getsockopt(socket, level, name, &value, &length);
	return value;
}

/* Text of a stream, with a parcel for each level somewhere on the way: not later than it was
 * sent. */
static void check_carrier(int level)
{
	char text[512], wanted[512] = "";
	size_t length = 0, parcels = 0;
	int fd;
	long got;
	for (int number = 1; number <= level; number++)
		strcat(wanted, "before with after ");
	while ((got = receive(pairs[CARRIER][1], text + length, sizeof text - length, &fd)) > 0) {
		if (fd >= 0) {
			WANT(length <= parcels * 18 + 7, "parcel %zu is late", parcels);
			is_parcel(fd, ++parcels, "a parcel on a stream");
		}
		length += got;
	}
	SAME(parcels, level, "the number of parcels on a stream");
	WANT(length == strlen(wanted) && memcmp(text, wanted, length) == 0,
	     "what surrounds the parcels is \"%.*s\" and was \"%s\"", (int)length, text, wanted);
}

static void check_pairs(int level)
{
	char text[64];
	struct timeval patience = { 0, 0 };
	socklen_t length = sizeof patience;
	int *pair = pairs[STREAM], fd;
	SAME(option(pair[0], SOL_SOCKET, SO_SNDBUF), 40000 * level, "SO_SNDBUF");
	SAME(option(pair[1], SOL_SOCKET, SO_PASSCRED), level % 2, "SO_PASSCRED");
	getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, &length);
	SAME(patience.tv_sec, 100 * level, "SO_RCVTIMEO");
	for (int number = 0; number < PAIRS; number++)
		for (int end = 0; end < 2; end++)
			SAME(option(pairs[number][end], SOL_SOCKET, SO_PEEK_OFF), -1,
			     "SO_PEEK_OFF of the %s pair", pair_kinds[number].name);
	reads(pair[1], said(level), strlen(said(level)), "a stream");
	for (int number = 1; number <= level; number++)
		for (int twice = 0; twice < 2; twice++) {
			long got = recv(pair[0], text, strlen(says(number)), MSG_DONTWAIT);
			WANT(got == (long)strlen(says(number)) &&
				     memcmp(text, says(number), got) == 0,
			     "a stream, the other way: other bytes wait");
		}
	for (int number = DGRAM; number <= SEQPACKET; number++) {
		const char *what = pair_kinds[number].name;
		is_message(pairs[number][1], "", what);
		for (int message = 1; message <= level; message++) {
			is_message(pairs[number][1], says(message), what);
			is_message(pairs[number][0], says(message), what);
			is_message(pairs[number][0], says(message), what);
		}
	}
	for (int number = STREAM; number <= SEQPACKET; number++)
		for (int end = 0; end < 2; end++) {
			waits(pairs[number][end], pair_kinds[number].name);
			DO(send(pairs[number][end], "new", 3, MSG_DONTWAIT));
			is_message(pairs[number][!end], "new", pair_kinds[number].name);
		}
	check_carrier(level);
	for (int number = 1; number <= level; number++) {
		is_message(pairs[CARRIER_DGRAM][1], "before", "a carrying datagram pair");
		SAME(receive(pairs[CARRIER_DGRAM][1], text, sizeof text, &fd), 4,
		     "the length of a message with a parcel");
		is_parcel(fd, number, "a parcel with a datagram");
	}
	WANT(send(pairs[HALF][0], "x", 1, MSG_DONTWAIT) == -1 && errno == EPIPE,
	     "what was shut down takes a byte");
	reads(pairs[HALF][1], "the rest", 8, "a stream that was shut down");
	ends(pairs[HALF][1], "a stream that was shut down");
	DO(send(pairs[HALF][1], "back", 4, MSG_DONTWAIT));
	reads(pairs[HALF][0], "back", 4, "the other way");
	WANT(send(pairs[DEAF][1], "x", 1, MSG_DONTWAIT) == -1 && errno == EPIPE,
	     "what nobody will read is taken");
	WANT(send(pairs[DEAF][0], "x", 1, MSG_DONTWAIT) == 1, "one end of the deaf pair can't send");
	reads(orphan, "left over by the peer" + 4 * (level - 1), 21 - 4 * (level - 1),
	      "a socket whose peer is closed");
	ends(orphan, "a socket whose peer is closed");
	close(pair[0]);
	ends(pair[1], "a socket whose peer was just closed");
}

static void drain_pairs(void)
{
	char text[4096];
	int fd;
	for (int pair = 0; pair < PAIRS; pair++)
		for (int end = 0; end < 2; end++)
			for (int times = 0; times < 40; times++)
				if (receive(pairs[pair][end], text, sizeof text, &fd) >= 0 && fd >= 0)
					close(fd);
	drain(orphan);
}

static void write_pairs(void)
{
	for (int pair = 0; pair < PAIRS; pair++)
		for (int end = 0; end < 2; end++)
			send(pairs[pair][end], "branch", 6, MSG_DONTWAIT);
}

static void shut_pairs(void)
{
	for (int pair = 0; pair < PAIRS; pair++)
		shutdown(pairs[pair][1], SHUT_RDWR);
}

static void shut_half(void)
{
	shutdown(pairs[STREAM][0], SHUT_WR);
	shutdown(pairs[HALF][1], SHUT_WR);
}

static void close_peers(void)
{
	for (int pair = 0; pair < PAIRS; pair++)
		close(pairs[pair][pair % 2]);
}

static void set_pair_options(void)
{
	struct timeval patience = { 7, 0 };
	int size = 50000, three = 3, no = 0;
	setsockopt(pairs[STREAM][0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(pairs[STREAM][0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(pairs[STREAM][1], SOL_SOCKET, SO_PASSCRED, &no, sizeof no);
	setsockopt(pairs[DGRAM][0], SOL_SOCKET, SO_PEEK_OFF, &three, sizeof three);
}

/* Terminals. */
static struct {
	int master, slave, dup;
} terminal;

static void set_terminals(int level)
{
	struct termios modes;
	struct winsize size = { .ws_row = 20 + level, .ws_col = 100 + level };
	if (level == 1) {
		terminal.master = DO(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
		DO(grantpt(terminal.master));
		DO(unlockpt(terminal.master));
		terminal.slave = DO(open(ptsname(terminal.master), O_RDWR | O_NOCTTY | O_NONBLOCK));
		terminal.dup = DO(dup(terminal.slave));
	}
	DO(tcgetattr(terminal.slave, &modes));
	modes.c_lflag = level == 2 ? 0 : ICANON | ISIG;
	modes.c_oflag = level == 3 ? OPOST : 0;
	modes.c_cc[VERASE] = '0' + level;
	modes.c_cc[VMIN] = level;
	cfsetspeed(&modes, level == 1 ? B9600 : B115200);
	DO(tcsetattr(terminal.slave, TCSANOW, &modes));
	DO(ioctl(terminal.master, TIOCSWINSZ, &size));
}

static void check_terminals(int level)
{
	struct termios modes;
	struct winsize size;
	DO(tcgetattr(terminal.dup, &modes));
	SAME(modes.c_lflag, level == 2 ? 0 : ICANON | ISIG, "the local modes");
	SAME(modes.c_oflag, level == 3 ? OPOST : 0, "the output modes");
	SAME(modes.c_cc[VERASE], '0' + level, "the erase character");
	SAME(modes.c_cc[VMIN], level, "the least number of bytes");
	SAME(cfgetospeed(&modes), level == 1 ? B9600 : B115200, "the speed");
	DO(ioctl(terminal.slave, TIOCGWINSZ, &size));
	SAME(size.ws_row, 20 + level, "the number of lines");
	SAME(size.ws_col, 100 + level, "the number of columns");
	WANT(write(terminal.master, "typed\n", 6) == 6 && is_ready(terminal.slave, 5000),
	     "what is typed does not arrive");
	reads(terminal.slave, "typed\n", 6, "what is typed");
	WANT(write(terminal.dup, "shown", 5) == 5 && is_ready(terminal.master, 5000),
	     "what is written is not shown");
	reads(terminal.master, "shown", 5, "what is shown");
}

static void make_raw(void)
{
	struct termios modes;
	if (tcgetattr(terminal.slave, &modes) == 0) {
		cfmakeraw(&modes);
		modes.c_cc[VERASE] = 'z';
		tcsetattr(terminal.slave, TCSANOW, &modes);
	}
}

static void resize_terminal(void)
{
	struct winsize size = { .ws_row = 1, .ws_col = 2, .ws_xpixel = 3 };
	ioctl(terminal.slave, TIOCSWINSZ, &size);
}

static void close_slave(void)
{
	close(terminal.slave);
	close(terminal.dup);
}

static void close_master(void)
{
	close(terminal.master);
}
