/* Locks on files: flock, and the locks of processes and of open file descriptions. Another
 * process reports the locks and their owners. */
#include <sys/file.h>

#define LOCKED 60

static struct {
	int exclusive, shared, whole, posix, posix_other, ofd, ofd_other;
} locks;

static int lock(int fd, int command, int type, long start, long length)
{
	struct flock range = { .l_type = type, .l_start = start, .l_len = length };
	return fcntl(fd, command, &range);
}

static void set_locks(int level)
{
	if (level == 1) {
		for (int file = 0; file < 5; file++)
			make_file((const char *[]){ "exclusive", "shared", "whole", "posix",
						    "ofd" }[file], 100, 0);
		locks.exclusive = DO(open(at("exclusive"), O_RDWR));
		locks.shared = DO(open(at("shared"), O_RDWR));
		locks.whole = DO(open(at("whole"), O_RDWR));
		locks.posix = DO(open(at("posix"), O_RDWR));
		locks.posix_other = DO(dup(locks.posix));
		locks.ofd = DO(open(at("ofd"), O_RDWR));
		locks.ofd_other = DO(open(at("ofd"), O_RDWR));
	}
	DO(flock(locks.exclusive, LOCK_EX));
	DO(flock(locks.shared, LOCK_SH));
	DO(flock(locks.whole, level == 1 ? LOCK_EX : level == 2 ? LOCK_SH : LOCK_UN));
	DO(lock(locks.posix, F_SETLK, F_UNLCK, 0, 0));
	DO(lock(locks.posix, F_SETLK, F_WRLCK, 0, 5 * level));
	DO(lock(locks.posix, F_SETLK, F_RDLCK, 20, 6 * level));
	DO(lock(locks.posix, F_SETLK, level == 2 ? F_RDLCK : F_WRLCK, 50, 0));
	DO(lock(locks.ofd, F_OFD_SETLK, F_UNLCK, 0, 0));
	DO(lock(locks.ofd_other, F_OFD_SETLK, F_UNLCK, 0, 0));
	DO(lock(locks.ofd, F_OFD_SETLK, F_RDLCK, 0, 10));
	DO(lock(locks.ofd_other, F_OFD_SETLK, F_RDLCK, 5, 7 * level));
	DO(lock(locks.ofd, F_OFD_SETLK, F_WRLCK, 40, level));
}

/* What a child sees of the locks of a file: for each of the first bytes `w`, `r` or `.`, then
 * whose the first lock is, then which flock it is refused. */
static void seen_by_child(const char *name, char *seen)
{
	int ends_[2], status;
	DO(pipe(ends_));
	pid_t child = DO(fork());
	if (child == 0) {
		char map[LOCKED + 3] = { 0 };
		int fd = open(at(name), O_RDWR), owner = 0;
		for (int byte = 0; byte < LOCKED; byte++) {
			struct flock range = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };
			if (fd < 0 || fcntl(fd, F_GETLK, &range))
				_exit(1);
			map[byte] = range.l_type == F_UNLCK ? '.' :
				    range.l_type == F_RDLCK ? 'r' : 'w';
			if (range.l_type != F_UNLCK && !owner)
				owner = range.l_pid;
		}
		map[LOCKED] = !owner ? '-' : owner == getppid() ? 'p' : owner == -1 ? 'o' : '?';
		map[LOCKED + 1] = flock(fd, LOCK_SH | LOCK_NB) ? 'w' :
				  flock(fd, LOCK_EX | LOCK_NB) ? 'r' : '.';
		_exit(write(ends_[1], map, LOCKED + 2) != LOCKED + 2);
	}
	close(ends_[1]);
	long got = read(ends_[0], seen, LOCKED + 2);
	close(ends_[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	WANT(got == LOCKED + 2, "the child can't see the locks of %s", name);
	seen[got] = 0;
}

/* A map as the child makes it. */
static void range(char *map, char type, int start, int length)
{
	for (int byte = start; byte < LOCKED && byte < start + length; byte++)
		map[byte] = type;
}

static void locked_as(const char *name, const char *map, char owner, char whole)
{
	char seen[LOCKED + 3], wanted[LOCKED + 3];
	snprintf(wanted, sizeof wanted, "%s%c%c", map, owner, whole);
	seen_by_child(name, seen);
	WANT(strcmp(seen, wanted) == 0, "%s is locked as %s and was %s", name, seen, wanted);
}

static void check_locks(int level)
{
	char map[LOCKED + 1] = { 0 };
	memset(map, '.', LOCKED);
	locked_as("exclusive", map, '-', 'w');
	locked_as("shared", map, '-', 'r');
	locked_as("whole", map, '-', ".wr."[level]);
	range(map, 'w', 0, 5 * level);
	range(map, 'r', 20, 6 * level);
	range(map, level == 2 ? 'r' : 'w', 50, LOCKED);
	locked_as("posix", map, 'p', '.');
	memset(map, '.', LOCKED);
	range(map, 'r', 0, 10);
	range(map, 'r', 5, 7 * level);
	range(map, 'w', 40, level);
	locked_as("ofd", map, 'o', '.');
	/* Whose of the two descriptions the ranges are. */
	for (int byte = 0; byte < 5 + 7 * level; byte++) {
		struct flock one = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };
		struct flock other = one;
		DO(fcntl(locks.ofd, F_OFD_GETLK, &one));
		DO(fcntl(locks.ofd_other, F_OFD_GETLK, &other));
		SAME(one.l_type != F_UNLCK, byte >= 5, "byte %d locked by the second", byte);
		SAME(other.l_type != F_UNLCK, byte < 10, "byte %d locked by the first", byte);
	}
	/* A lock that comes back can be given up. */
	DO(flock(locks.exclusive, LOCK_UN));
	DO(lock(locks.posix, F_SETLK, F_UNLCK, 0, 0));
	memset(map, '.', LOCKED);
	locked_as("exclusive", map, '-', '.');
	locked_as("posix", map, '-', '.');
}

static void unlock_flocks(void)
{
	flock(locks.exclusive, LOCK_UN);
	flock(locks.shared, LOCK_UN);
	flock(locks.whole, LOCK_UN);
}

static void change_flocks(void)
{
	flock(locks.exclusive, LOCK_SH | LOCK_NB);
	flock(locks.shared, LOCK_EX | LOCK_NB);
	flock(locks.whole, LOCK_EX | LOCK_NB);
}

static void unlock_ranges(void)
{
	lock(locks.posix, F_SETLK, F_UNLCK, 0, 0);
	lock(locks.ofd, F_OFD_SETLK, F_UNLCK, 0, 0);
	lock(locks.ofd_other, F_OFD_SETLK, F_UNLCK, 0, 0);
}

static void lock_more_ranges(void)
{
	lock(locks.posix, F_SETLK, F_WRLCK, 40, 3);
	lock(locks.posix, F_SETLK, F_RDLCK, 2, 1);
	lock(locks.ofd, F_OFD_SETLK, F_WRLCK, 55, 3);
	lock(locks.ofd_other, F_OFD_SETLK, F_UNLCK, 8, 1);
}

/* Closing any descriptor of a file gives up the POSIX locks on it. */
static void close_another(void)
{
	close(open(at("posix"), O_RDONLY));
}
