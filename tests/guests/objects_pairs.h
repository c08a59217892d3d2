/* Socketpairs with both ends in the program: unread data in either direction, descriptors in
 * flight, options, and half-closed pairs. */

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

/* What is in the pipe stays what the branches have left there: descriptors in flight are
 * carried over, and shared. */
static void is_parcel(int fd, const char *what)
{
	struct stat found;
	WANT(fd >= 0, "%s: no descriptor in flight", what);
	WANT(fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode), "%s: another thing", what);
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
			parcels++;
			is_parcel(fd, "a parcel on a stream");
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
		is_parcel(fd, "a parcel with a datagram");
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
