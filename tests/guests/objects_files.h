/* Files: offsets, status flags and sharing of regular files and directories; and the working
 * directory, umask and limits of the process. */

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
