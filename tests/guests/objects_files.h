/* Files: offsets, status flags and sharing of regular files and directories; locks; and what
 * a process has beside its descriptors: working directory, umask, limits. */
#include <sys/file.h>

#define FILE_LENGTH 8192

static struct {
	int one, dup, other, append, unlinked, high, extra;
} files;

static void set_files(int level)
{
	if (level == 1) {
		make_file("bytes", FILE_LENGTH, 1);
		make_file("unlinked", 1000, 2);
		files.one = DO(open(at("bytes"), O_RDWR));
		files.dup = DO(dup(files.one));
		files.other = DO(open(at("bytes"), O_RDONLY | O_CLOEXEC));
		files.append = DO(open(at("bytes"), O_WRONLY | O_APPEND));
		files.unlinked = DO(open(at("unlinked"), O_RDWR));
		unlink(at("unlinked"));
		files.high = DO(fcntl(files.other, F_DUPFD_CLOEXEC, 200));
	}
	lseek(files.one, 100 * level, SEEK_SET);
	lseek(files.other, 1000 * level + 1, SEEK_SET);
	lseek(files.append, 3 * level, SEEK_SET);
	lseek(files.unlinked, 10 * level, SEEK_SET);
	DO(fcntl(files.append, F_SETFL, O_APPEND | (level % 2 ? O_NONBLOCK : 0)));
	DO(fcntl(files.dup, F_SETFD, level == 2 ? FD_CLOEXEC : 0));
	if (level == 2)
		files.extra = DO(open(at("bytes"), O_RDONLY | O_NONBLOCK));
	else if (level == 3)
		close(files.extra);
}

static void reads_at(int fd, long offset, int tag, const char *what)
{
	char bytes[50];
	SAME(lseek(fd, 0, SEEK_CUR), offset, "the offset of %s", what);
	SAME(read(fd, bytes, sizeof bytes), 50, "what can be read of %s", what);
	for (int index = 0; index < 50; index++)
		WANT(bytes[index] == pattern(offset + index, tag), "%s: other contents", what);
}

static void check_files(int level)
{
	reads_at(files.one, 100 * level, 1, "a file");
	reads_at(files.dup, 100 * level + 50, 1, "its dup");
	reads_at(files.other, 1000 * level + 1, 1, "the same file, opened again");
	reads_at(files.high, 1000 * level + 51, 1, "its dup at a high number");
	reads_at(files.unlinked, 10 * level, 2, "an unlinked file");
	SAME(lseek(files.append, 0, SEEK_CUR), 3 * level, "the offset of a file to append to");
}

static void seek_files(void)
{
	lseek(files.one, 0, SEEK_SET);
	lseek(files.other, 0, SEEK_END);
	lseek(files.append, 77, SEEK_SET);
	lseek(files.unlinked, 999, SEEK_SET);
}

static void read_files(void)
{
	char bytes[33];
	for (int fd = 0; fd < 3; fd++)
		(void)!read((int[]){ files.one, files.high, files.unlinked }[fd], bytes, 33);
}

static void flag_files(void)
{
	fcntl(files.append, F_SETFL, 0);
	fcntl(files.one, F_SETFL, O_APPEND | O_NONBLOCK);
}

static void reopen_file(void)
{
	int fd = aloft(open(at("bytes"), O_RDWR));
	lseek(fd, lseek(files.one, 0, SEEK_CUR), SEEK_SET);
	dup2(fd, files.dup);
	close(fd);
}

static void close_originals(void)
{
	close(files.one);
	close(files.other);
}

/* Directories. */
static struct {
	int fd, dup, read, count;
	char names[64][16];
} directory;

/* Reads on with a buffer for a few entries, into `names`; how many there were. */
static int read_entries(int fd, char (*names)[16], int room)
{
	char buffer[100];
	int count = 0;
	long length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
	for (long next = 0; next < length && count < room;) {
		struct dirent64 *entry = (struct dirent64 *)(buffer + next);
		snprintf(names[count++], 16, "%.15s", entry->d_name);
		next += entry->d_reclen;
	}
	return count;
}

static void set_directories(int level)
{
	char name[64], skipped[8][16];
	int more;
	if (level == 1) {
		DO(mkdir(at("directory"), 0755));
		for (int number = 0; number < 30; number++) {
			snprintf(name, sizeof name, "directory/%d", number);
			make_file(name, 1, 0);
		}
		directory.fd = DO(open(at("directory"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		directory.dup = DO(dup(directory.fd));
		while ((more = read_entries(directory.fd, directory.names + directory.count,
					    64 - directory.count)))
			directory.count += more;
		DO(lseek(directory.fd, 0, SEEK_SET));
	}
	directory.read += read_entries(directory.fd, skipped, 8);
}

static void check_directories(int level)
{
	char names[64][16];
	int count = directory.read, more;
	(void)level;
	while ((more = read_entries(directory.dup, names, 64)))
		for (int entry = 0; entry < more; entry++, count++)
			WANT(count < 64 && strcmp(names[entry], directory.names[count]) == 0,
			     "entry %d is %s and was %s", count, names[entry],
			     count < 64 ? directory.names[count] : "none");
	SAME(count, directory.count, "the number of entries, read from where it was");
	DO(lseek(directory.fd, 0, SEEK_SET));
	WANT(read_entries(directory.dup, names, 64) > 0, "its dup has another offset");
}

static void rewind_directory(void)
{
	lseek(directory.fd, 0, SEEK_SET);
}

static void read_directory(void)
{
	char names[64][16];
	while (read_entries(directory.fd, names, 64) > 0)
		;
}

static void reopen_directory(void)
{
	int fd = aloft(open(at("directory"), O_RDONLY | O_DIRECTORY));
	dup2(fd, directory.fd);
	close(fd);
}

/* What a process has beside its descriptors. */
static int root_fd, proc_fd;

static const struct {
	int resource;
	unsigned long soft;
} limits[] = { { RLIMIT_FSIZE, 1 << 30 }, { RLIMIT_NOFILE, 600 }, { RLIMIT_CORE, 0 } };

static void set_limit(int resource, unsigned long soft)
{
	struct rlimit limit;
	getrlimit(resource, &limit);
	limit.rlim_cur = soft;
	DO(setrlimit(resource, &limit));
}

static const char *deep(int level)
{
	static const char *const names[] = { "deep", "deep/er", "deep/er/still" };
	return names[level - 1];
}

static void set_settings(int level)
{
	char marker[64];
	if (level == 1)
		root_fd = DO(open("/", O_RDONLY | O_DIRECTORY)),
		proc_fd = DO(open("/proc", O_RDONLY | O_DIRECTORY));
	/* A branch may have made it before: files don't come back by themselves. */
	mkdir(at(deep(level)), 0755);
	snprintf(marker, sizeof marker, "%s/marker-%d", deep(level), level);
	make_file(marker, 1, 0);
	DO(chdir(at(deep(level))));
	umask(020 + level);
	for (int limit = 0; limit < 2; limit++)
		set_limit(limits[limit].resource, limits[limit].soft + level);
	set_limit(RLIMIT_CORE, 0);
}

static void check_settings(int level)
{
	char directory_[PATH_MAX] = "?", marker[64];
	struct rlimit limit;
	WANT(getcwd(directory_, sizeof directory_) && strcmp(directory_, at(deep(level))) == 0,
	     "the working directory is %s and was %s", directory_, at(deep(level)));
	snprintf(marker, sizeof marker, "marker-%d", level);
	WANT(access(marker, F_OK) == 0, "another directory of the same name");
	SAME(umask(0), 020 + level, "the umask");
	for (int number = 0; number < 3; number++) {
		getrlimit(limits[number].resource, &limit);
		SAME(limit.rlim_cur, number == 2 ? 0 : limits[number].soft + level, "limit %d",
		     limits[number].resource);
	}
	getrlimit(RLIMIT_FSIZE, &limit);
	WANT(limit.rlim_max == RLIM_INFINITY, "the hard limit of a file's size has gone down");
}

static void change_umask(void)
{
	umask(0777);
}

static void change_directory(void)
{
	(void)!chdir("/proc/self");
}

static void go_up(void)
{
	(void)!fchdir(root_fd);
}

static void change_limits(void)
{
	set_limit(RLIMIT_NOFILE, 512);
	set_limit(RLIMIT_FSIZE, 1 << 29);
}

static void lower_hard_limit(void)
{
	struct rlimit limit = { 1 << 30, 1 << 30 };
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* Locks. Which bytes of a file are locked is told by another process. */
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
