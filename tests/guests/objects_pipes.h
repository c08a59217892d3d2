/* Pipes with all their ends in the program: with and without a name, of packets, resized, full,
 * empty, and half closed. */

static struct {
	int plain[2], sized[2], packets[2], full[2], empty[2];
	int left, ended, broken, filled, dup, size;
} pipes;

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
	pipes.size = fcntl(pipes.plain[1], F_GETPIPE_SZ);
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
	SAME(fcntl(pipes.plain[0], F_GETPIPE_SZ), pipes.size, "the size of another pipe");
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
	is_broken(pipes.broken, "a pipe without a reader");
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
	is_broken(pipes.dup, "a pipe whose reader was just closed");
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
