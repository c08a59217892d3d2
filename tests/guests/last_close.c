/* Guest: what the kernel does when the last descriptor of a file is closed, which must be the
 * same while copies of the program exist.
 *
 * `open` makes everything, `close NAME WAY` closes one thing, and `check` checks that all is as
 * `open` has left it. `share NAME` gives a thing to a child too, and `unshare` ends that child.
 * The child of `look` has the other side of the program's terminal, and `child-hung-up` waits
 * until it has hung up. The ways: `close`, `range`, `dup2`, `dup3`, `fclose`, `raw`. `seal`
 * unmaps the memory file and seals it against writing, `unmap` unmaps a locked file and closes
 * it, `exec` becomes the same program again.
 *
 * A second process of the same program, a witness, looks at the same files: `free NAME` checks
 * that a lock is free, `taken NAME` that it is not, `runs`, `watch`, `forget`, `written`, `breaks`,
 * `pty` (make a terminal for the program to open), `hung-up`, `alive`. */
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DO(call)                                                                     \
	({                                                                           \
		long outcome_ = (long)(call);                                        \
		if (outcome_ == -1)                                                  \
			BROKEN("%s: %s", #call, strerror(errno));                    \
		outcome_;                                                            \
	})
#define FAIL(...) return answer("err " __VA_ARGS__)

enum { FLOCKED, OFD, PROGRAM, WATCHED, LEASED, MEMORY, MAPPED, MASTER, SLAVE, LISTED, MODEST, THINGS };
static const char *names[THINGS] = { "flocked", "ofd",    "program", "watched", "leased",
				     "memory",  "mapped", "master",  "slave",   "listed",  "modest" };
static int fds[THINGS];
static char *memory, *mapped;
static pid_t sharer;
static int watch, other_side;
static const char *self;

static int thing(const char *name)
{
	for (int number = 0; number < THINGS; number++)
		if (is(names[number], name))
			return number;
	BROKEN("no thing %s", name);
}

static int lock_range(int fd, int type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20 };
	return fcntl(fd, F_OFD_SETLK, &lock);
}

static void open_all(const char *slave)
{
	static char text[4096];
	fds[FLOCKED] = DO(open("flocked", O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
	DO(flock(fds[FLOCKED], LOCK_EX));
	DO(write(fds[FLOCKED], "hello", 5));
	DO(lseek(fds[FLOCKED], 3, SEEK_SET));
	fds[OFD] = DO(open("ofd", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	DO(lock_range(fds[OFD], F_WRLCK));
	fds[PROGRAM] = DO(open("program", O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	int from = DO(open("/bin/true", O_RDONLY));
	for (ssize_t length; (length = DO(read(from, text, sizeof text))) > 0;)
		DO(write(fds[PROGRAM], text, length));
	close(from);
	fds[WATCHED] = DO(open("watched", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	fds[LEASED] = DO(open("leased", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	DO(fcntl(fds[LEASED], F_SETLEASE, F_WRLCK));
	fds[MEMORY] = DO(memfd_create("memory", MFD_ALLOW_SEALING | MFD_CLOEXEC));
	DO(ftruncate(fds[MEMORY], 8192));
	memory = (char *)DO(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fds[MEMORY], 0));
	strcpy(memory + 4096, "memory");
	fds[MAPPED] = DO(open("mapped", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	DO(flock(fds[MAPPED], LOCK_EX));
	DO(ftruncate(fds[MAPPED], 8192));
	mapped = (char *)DO(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fds[MAPPED], 0));
	strcpy(mapped + 4096, "mapped");
	fds[MASTER] = DO(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	DO(grantpt(fds[MASTER]));
	DO(unlockpt(fds[MASTER]));
	fds[SLAVE] = DO(open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC));
	mkdir("listed", 0700);
	fds[LISTED] = DO(open("listed", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	DO(flock(fds[LISTED], LOCK_EX));
	/* Who may not write to it can't open it like this again. */
	fds[MODEST] = DO(open("modest", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	DO(fchmod(fds[MODEST], 0400));
	DO(flock(fds[MODEST], LOCK_EX));
	answer("ok %s", ptsname(fds[MASTER]));
}

static int own_flock_is_free(const char *name)
{
	int fd = DO(open(name, O_RDONLY));
	int free = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return free;
}

static int ofd_is_free(void)
{
	int fd = DO(open("ofd", O_RDWR));
	int free = lock_range(fd, F_WRLCK) == 0;
	close(fd);
	return free;
}

static int is_free(const char *name)
{
	return is(name, "ofd") ? ofd_is_free() : own_flock_is_free(name);
}

static void check(void)
{
	char text[16] = "";
	int flags = O_ACCMODE | O_APPEND | O_NONBLOCK;
	if (lseek(fds[FLOCKED], 0, SEEK_CUR) != 3)
		FAIL("offset %ld", lseek(fds[FLOCKED], 0, SEEK_CUR));
	if (read(fds[FLOCKED], text, 2) != 2 || strcmp(text, "lo"))
		FAIL("text %s", text);
	DO(lseek(fds[FLOCKED], 3, SEEK_SET));
	if ((fcntl(fds[FLOCKED], F_GETFL) & flags) != (O_RDWR | O_APPEND))
		FAIL("flags %x", fcntl(fds[FLOCKED], F_GETFL));
	if ((fcntl(fds[PROGRAM], F_GETFL) & flags) != O_WRONLY)
		FAIL("flags %x", fcntl(fds[PROGRAM], F_GETFL));
	for (int number = 0; number < THINGS; number++)
		if (fcntl(fds[number], F_GETFD) != FD_CLOEXEC)
			FAIL("%s: descriptor flags", names[number]);
	const char *locked[] = { "flocked", "ofd", "mapped", "listed", "modest" };
	for (int number = 0; number < 5; number++)
		if (is_free(locked[number]))
			FAIL("%s is not locked", locked[number]);
	struct stat modest;
	DO(fstat(fds[MODEST], &modest));
	if ((modest.st_mode & 07777) != 0400 || pwrite(fds[MODEST], "x", 1, 0) != 1)
		FAIL("modest: %o", modest.st_mode);
	if (fcntl(fds[LEASED], F_GETLEASE) != F_WRLCK)
		FAIL("lease %d", fcntl(fds[LEASED], F_GETLEASE));
	if (strcmp(memory + 4096, "memory") || pread(fds[MEMORY], text, 7, 4096) != 7 ||
	    strcmp(text, "memory"))
		FAIL("memory %s", memory + 4096);
	strcpy(memory, "new");
	if (pread(fds[MEMORY], text, 4, 0) != 4 || strcmp(text, "new"))
		FAIL("the memory file is not what is mapped");
	strcpy(memory, "");
	if (fcntl(fds[MEMORY], F_GET_SEALS) != 0)
		FAIL("seals %x", fcntl(fds[MEMORY], F_GET_SEALS));
	if (strcmp(mapped + 4096, "mapped") || pread(fds[MAPPED], text, 7, 4096) != 7 ||
	    strcmp(text, "mapped"))
		FAIL("mapped %s", mapped + 4096);
	answer("ok");
}

static void close_by(int number, const char *way)
{
	int fd = fds[number];
	if (is(way, "close"))
		DO(close(fd));
	else if (is(way, "range"))
		DO(close_range(fd, fd, 0));
	else if (is(way, "dup2"))
		DO(dup2(2, fd));
	else if (is(way, "dup3"))
		DO(dup3(2, fd, O_CLOEXEC));
	else if (is(way, "raw"))
		DO(syscall(SYS_close, fd));
	else if (is(way, "fclose"))
		DO(fclose(fdopen(fd, (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY ? "w" :
				     (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY ? "r" :
										    "r+")));
	else
		BROKEN("no way %s", way);
	answer("ok");
}

static void share(int number)
{
	sharer = DO(fork());
	if (sharer == 0) {
		for (int other = 0; other < THINGS; other++)
			if (other != number)
				close(fds[other]);
		munmap(mapped, 8192);
		munmap(memory, 8192);
		for (;;)
			pause();
	}
	answer("ok");
}

/* A child that has the other side of the program's terminal, and ends as it hangs up. */
static void look_at_master(void)
{
	const char *name = ptsname(fds[MASTER]);
	int ready[2];
	char byte;
	DO(pipe(ready));
	sharer = DO(fork());
	if (sharer == 0) {
		for (int number = 0; number < THINGS; number++)
			close(fds[number]);
		other_side = DO(open(name, O_RDWR | O_NOCTTY));
		close(ready[0]);
		close(ready[1]);
		struct pollfd end = { .fd = other_side };
		while (poll(&end, 1, -1) < 0)
			;
		_exit(0);
	}
	close(ready[1]);
	DO(read(ready[0], &byte, 1));
	close(ready[0]);
	answer("ok %d", sharer);
}

static void seal(void)
{
	DO(munmap(memory, 8192));
	if (fcntl(fds[MEMORY], F_ADD_SEALS, F_SEAL_WRITE))
		FAIL("seal: %s", strerror(errno));
	answer("ok");
}

/* The witness. */

static void run(void)
{
	pid_t child = DO(fork());
	if (child == 0) {
		execl("./program", "program", NULL);
		_exit(errno == ETXTBSY ? 26 : 1);
	}
	int status;
	DO(waitpid(child, &status, 0));
	answer(WEXITSTATUS(status) ? "err status %d" : "ok", WEXITSTATUS(status));
}

static void was_written(void)
{
	char events[4096];
	ssize_t length = read(watch, events, sizeof events);
	answer(length > 0 ? "ok" : "err no IN_CLOSE_WRITE");
}

static void breaks(void)
{
	int fd = open("leased", O_RDWR | O_NONBLOCK);
	if (fd < 0)
		FAIL("leased: %s", strerror(errno));
	close(fd);
	answer("ok");
}

static int hangs(void)
{
	struct pollfd end = { .fd = other_side };
	return poll(&end, 1, 0) == 1 && end.revents & POLLHUP;
}

int main(int count, char **arguments)
{
	static char name[64], way[64], events[4096];
	const char *line;
	self = arguments[0];
	signal(SIGIO, SIG_IGN);
	if (count > 1)
		answer("ok");
	while ((line = command())) {
		int words = sscanf(line, "%63s", name) ? sscanf(line, "%*s %63s %63s", name, way) : 0;
		if (strncmp(line, "open ", 5) == 0)
			open_all(name);
		else if (strncmp(line, "close ", 6) == 0 && words == 2)
			close_by(thing(name), way);
		else if (strncmp(line, "share ", 6) == 0)
			share(thing(name));
		else if (is(line, "look"))
			look_at_master();
		else if (is(line, "child-hung-up"))
			answer(LOOK(waitpid(sharer, NULL, WNOHANG) == sharer) ? "ok" : "err it goes on");
		else if (is(line, "unshare")) {
			kill(sharer, SIGKILL);
			DO(waitpid(sharer, NULL, 0));
			answer("ok");
		} else if (is(line, "seal"))
			seal();
		else if (is(line, "unmap")) {
			DO(munmap(mapped, 8192));
			DO(close(fds[MAPPED]));
			answer("ok");
		} else if (is(line, "check"))
			check();
		else if (is(line, "exec")) {
			execl(self, self, "again", NULL);
			answer("err exec: %s", strerror(errno));
		} else if (strncmp(line, "free ", 5) == 0)
			answer(is_free(name) ? "ok" : "err %s is locked", name);
		else if (strncmp(line, "taken ", 6) == 0)
			answer(is_free(name) ? "err %s is free" : "ok", name);
		else if (is(line, "runs"))
			run();
		else if (is(line, "watch")) {
			watch = DO(inotify_init1(IN_NONBLOCK));
			DO(inotify_add_watch(watch, "watched", IN_CLOSE_WRITE));
			answer("ok");
		} else if (is(line, "forget")) {
			while (read(watch, events, sizeof events) > 0)
				;
			answer("ok");
		} else if (is(line, "written"))
			was_written();
		else if (is(line, "breaks"))
			breaks();
		else if (is(line, "pty")) {
			other_side = DO(posix_openpt(O_RDWR | O_NOCTTY));
			DO(grantpt(other_side));
			DO(unlockpt(other_side));
			chmod(ptsname(other_side), 0666);
			answer("ok %s", ptsname(other_side));
		} else if (is(line, "hung-up"))
			answer(LOOK(hangs()) ? "ok" : "err it has not hung up");
		else if (is(line, "alive"))
			answer(hangs() ? "err it has hung up" : "ok");
		else
			answer("err what is %s?", line);
	}
	return 0;
}
