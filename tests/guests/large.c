/* Guest: writes to big files in every way that libc has. A command opens a file under a number,
 * `open N NAME FLAGS` with the flags r (read too), a (append), t (truncate), c (create), e
 * (close on exec); or writes LENGTH bytes of a pattern made from SEED:
 *
 *   write N LENGTH SEED            pwrite N OFFSET LENGTH SEED      writev, pwritev, pwritev2
 *   print N OFFSET LENGTH SEED     (standard I/O)                   send, copy, splice, map
 *   thread N OFFSET LENGTH SEED    child N OFFSET LENGTH SEED       exec N OFFSET SEED
 *   truncate N SIZE                punch N OFFSET LENGTH            seek N OFFSET
 *   dup N M                        close N                          pressed N OFFSET LENGTH SEED
 *   dup2 N M, dup3 N M             (over M)                         fcntl N M (F_DUPFD)
 *   pass N M                       (N goes through a socket)        raw N M (dup by its number)
 *   storm THREADS STEPS SEED       (all of it at random, on `big`, `beside` and pipes)
 *   fclose N 0                     (by a stream)
 *   fill N OFFSET LENGTH LETTER    (A is 0)
 *   number N 0                     (its own number)
 *   time COUNT LENGTH N            (nanoseconds a write, from front to back)
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define MOST 16

static int files[MOST];
static char *bytes;
static size_t room;

static char *pattern(size_t length, unsigned long seed)
{
	if (length > room) {
		room = length;
		bytes = realloc(bytes, room);
		if (!bytes)
			BROKEN("no memory");
	}
	for (size_t at = 0; at < length; at++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		bytes[at] = (char)(seed >> 56);
	}
	return bytes;
}

static void wrote(ssize_t done, size_t length)
{
	if (done == (ssize_t)length)
		answer("ok");
	else
		answer("err %zd of %zu: %s", done, length, strerrorname_np(errno));
}

struct work {
	int file;
	off_t offset;
	size_t length;
	unsigned long seed;
};

static void *in_thread(void *argument)
{
	struct work *work = argument;
	char *own = malloc(work->length);
	memcpy(own, bytes, work->length);
	ssize_t done = pwrite(work->file, own, work->length, work->offset);
	free(own);
	return (void *)done;
}

static void on_press(int signal)
{
	(void)signal;
}

static int source_of(const char *text, size_t length)
{
	int source = open(".", O_TMPFILE | O_RDWR, 0600);
	if (source < 0 || write(source, text, length) != (ssize_t)length || lseek(source, 0, SEEK_SET))
		BROKEN("a source: %s", strerror(errno));
	return source;
}

static void write_by(const char *how, struct work work)
{
	const char *text = pattern(work.length, work.seed);
	int file = work.file;
	off_t offset = work.offset;
	size_t length = work.length, half = length / 2;
	struct iovec parts[] = { { (void *)text, half }, { (void *)(text + half), length - half } };
	if (is(how, "pwrite")) {
		wrote(pwrite(file, text, length, offset), length);
	} else if (is(how, "writev")) {
		lseek(file, offset, SEEK_SET);
		wrote(writev(file, parts, 2), length);
	} else if (is(how, "pwritev")) {
		wrote(pwritev(file, parts, 2, offset), length);
	} else if (is(how, "pwritev2")) {
		wrote(pwritev2(file, parts, 2, offset, 0), length);
	} else if (is(how, "print")) {
		FILE *stream = fdopen(dup(file), "r+");
		if (!stream || fseeko(stream, offset, SEEK_SET))
			BROKEN("a stream: %s", strerror(errno));
		size_t done = fwrite(text, 1, length, stream);
		if (fclose(stream))
			done = 0;
		wrote((ssize_t)done, length);
	} else if (is(how, "send")) {
		int source = source_of(text, length);
		lseek(file, offset, SEEK_SET);
		wrote(sendfile(file, source, NULL, length), length);
		close(source);
	} else if (is(how, "copy")) {
		int source = source_of(text, length);
		off_t from = 0;
		wrote(copy_file_range(source, &from, file, &offset, length, 0), length);
		close(source);
	} else if (is(how, "splice")) {
		int ends[2];
		if (pipe(ends) || length > 4096 || write(ends[1], text, length) != (ssize_t)length)
			BROKEN("a pipe");
		wrote(splice(ends[0], NULL, file, &offset, length, 0), length);
		close(ends[0]);
		close(ends[1]);
	} else if (is(how, "map")) {
		off_t page = offset & ~4095L;
		size_t all = length + (size_t)(offset - page);
		char *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, file, page);
		if (map == MAP_FAILED)
			BROKEN("a map: %s", strerror(errno));
		memcpy(map + (offset - page), text, length);
		munmap(map, all);
		answer("ok");
	} else if (is(how, "thread")) {
		struct work others[3];
		pthread_t threads[3];
		for (int number = 0; number < 3; number++) {
			others[number] = work;
			others[number].offset += number * 300000;
			threads[number] = start(in_thread, &others[number]);
		}
		ssize_t all = 0;
		for (int number = 0; number < 3; number++) {
			void *done;
			pthread_join(threads[number], &done);
			all += (ssize_t)done;
		}
		wrote(all, 3 * length);
	} else if (is(how, "child")) {
		pid_t child = fork();
		int status = 1;
		if (child == 0)
			_exit(pwrite(file, text, length, offset) != (ssize_t)length);
		waitpid(child, &status, 0);
		wrote(status ? -1 : (ssize_t)length, length);
	} else if (is(how, "exec")) {
		char command[200];
		lseek(file, offset, SEEK_SET);
		snprintf(command, sizeof command, "head -c %zu /etc/passwd >&%d", length, file);
		wrote(system(command) ? -1 : (ssize_t)length, length);
	} else if (is(how, "pressed")) {
		/* Signals without SA_RESTART come in all the time. */
		struct sigaction action = { .sa_handler = on_press };
		struct itimerspec often = { { 0, 50000 }, { 0, 50000 } };
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
		timer_t timer;
		sigaction(SIGRTMIN + 3, &action, NULL);
		if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
			BROKEN("a timer");
		size_t all = 0;
		for (size_t at = 0; at < length; at += 4096) {
			errno = EXDEV;
			if (pwrite(file, text + at, 4096, offset + (off_t)at) == 4096 && errno == EXDEV)
				all += 4096;
		}
		timer_delete(timer);
		wrote((ssize_t)all, length);
	} else {
		answer("err what is %s", how);
	}
}

/* A descriptor takes the way through a socket. */
static int pass(int file)
{
	int ends[2], passed = -1;
	char byte = 0;
	struct iovec part = { &byte, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} rights = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights };
	memcpy(CMSG_DATA(&rights.header), &file, sizeof file);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || sendmsg(ends[0], &message, 0) != 1)
		BROKEN("a descriptor can't be sent: %s", strerror(errno));
	if (recvmsg(ends[1], &message, 0) != 1)
		BROKEN("a descriptor isn't received: %s", strerror(errno));
	memcpy(&passed, CMSG_DATA(&rights.header), sizeof passed);
	close(ends[0]);
	close(ends[1]);
	return passed;
}

/* The nth way to another descriptor of the same file. */
static int duplicate(int file, unsigned long way)
{
	int over;
	switch (way % 5) {
	case 0:
		return dup(file);
	case 1:
		return fcntl(file, F_DUPFD_CLOEXEC, 0);
	case 2:
		return pass(file);
	case 3:
		over = open("/dev/null", O_WRONLY);
		return dup2(file, over);
	default:
		over = open("beside", O_RDWR);
		return dup3(file, over, O_CLOEXEC);
	}
}

#define OWN 8

struct storm {
	unsigned long state, steps;
	off_t size;
};

static unsigned long below(struct storm *storm, unsigned long limit)
{
	storm->state = storm->state * 6364136223846793005u + 1442695040888963407u;
	return (storm->state >> 33) % limit;
}

static int open_any(struct storm *storm)
{
	int ends[2];
	switch (below(storm, 5)) {
	case 0:
	case 1:
		return open("big", O_RDWR);
	case 2:
		return open("beside", O_RDWR);
	case 3:
		return open("/dev/null", O_RDWR);
	default:
		/* What is written to it stays there: no more than it takes. */
		if (pipe2(ends, O_NONBLOCK))
			BROKEN("a pipe: %s", strerror(errno));
		close(ends[0]);
		return ends[1];
	}
}

static void write_any(struct storm *storm, int file)
{
	char text[512];
	size_t length = 1 + below(storm, sizeof text);
	off_t offset = (off_t)below(storm, (unsigned long)storm->size);
	memset(text, (int)below(storm, 256), length);
	struct iovec parts[] = { { text, length / 2 }, { text + length / 2, length - length / 2 } };
	switch (below(storm, 6)) {
	case 0:
		lseek(file, offset, SEEK_SET);
		(void)!write(file, text, length);
		break;
	case 1:
		(void)!write(file, text, length);
		break;
	case 2:
		(void)!writev(file, parts, 2);
		break;
	case 3:
		(void)!pwritev(file, parts, 2, offset);
		break;
	case 4: {
		FILE *stream = fdopen(dup(file), "r+");
		if (!stream)
			break;
		fseeko(stream, offset, SEEK_SET);
		fwrite(text, 1, length, stream);
		fclose(stream);
		break;
	}
	default:
		(void)!pwrite(file, text, length, offset);
	}
}

/* Each thread has descriptors of its own; all take their numbers from the one table. */
static void *rage(void *argument)
{
	struct storm *storm = argument;
	int own[OWN];
	memset(own, -1, sizeof own);
	for (unsigned long step = 0; step < storm->steps; step++) {
		int *one = &own[below(storm, OWN)], *other = &own[below(storm, OWN)];
		unsigned long what = below(storm, 16);
		if (*one < 0) {
			*one = *other < 0 || what < 4 ? open_any(storm) : duplicate(*other, what);
		} else if (what < 2) {
			FILE *stream = what ? fdopen(*one, "w") : NULL;
			if (stream)
				fclose(stream);
			else
				close(*one);
			*one = -1;
		} else if (what < 4 && *other >= 0) {
			if (dup2(*other, *one) != *one)
				BROKEN("dup2: %s", strerror(errno));
		} else if (what == 4) {
			pid_t child = fork();
			if (child == 0) {
				for (int count = 0; count < 4; count++)
					write_any(storm, own[count] < 0 ? *one : own[count]);
				_exit(0);
			}
			below(storm, 2);
			waitpid(child, NULL, 0);
		} else {
			write_any(storm, *one);
		}
	}
	for (int count = 0; count < OWN; count++)
		if (own[count] >= 0)
			close(own[count]);
	return NULL;
}

static void rage_in(unsigned long count, unsigned long steps, unsigned long seed)
{
	struct storm storms[8];
	pthread_t threads[8];
	struct stat stat_;
	if (count > 8 || stat("big", &stat_))
		BROKEN("no storm");
	signal(SIGPIPE, SIG_IGN);
	for (unsigned long number = 0; number < count; number++) {
		storms[number] = (struct storm){ seed * 8 + number, steps, stat_.st_size };
		threads[number] = start(rage, &storms[number]);
	}
	for (unsigned long number = 0; number < count; number++)
		pthread_join(threads[number], NULL);
	answer("ok");
}

static double now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(void)
{
	const char *line;
	while ((line = command())) {
		char how[32], name[128], flags[16] = "";
		unsigned long a, b = 0, c = 0, d = 0;
		if (sscanf(line, "open %lu %127s %15s", &a, name, flags) >= 2) {
			int mode = (strchr(flags, 'r') ? O_RDWR : O_WRONLY) | (strchr(flags, 'a') ? O_APPEND : 0) |
				   (strchr(flags, 't') ? O_TRUNC : 0) | (strchr(flags, 'c') ? O_CREAT : 0) |
				   (strchr(flags, 'e') ? O_CLOEXEC : 0);
			files[a] = open(name, mode, 0644);
			answer(files[a] < 0 ? "err %s" : "ok", strerrorname_np(errno));
			continue;
		}
		if (is(line, "ping")) {
			answer("ok");
			continue;
		}
		if (sscanf(line, "%31s %lu %lu %lu %lu", how, &a, &b, &c, &d) < 2 || (a >= MOST && !is(how, "time"))) {
			answer("err %s", line);
		} else if (is(how, "write")) {
			wrote(write(files[a], pattern(b, c), b), b);
		} else if (is(how, "seek")) {
			answer(lseek(files[a], (off_t)b, SEEK_SET) < 0 ? "err" : "ok");
		} else if (is(how, "truncate")) {
			answer(ftruncate(files[a], (off_t)b) ? "err" : "ok");
		} else if (is(how, "punch")) {
			int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
			answer(fallocate(files[a], mode, (off_t)b, (off_t)c) ? "err %s" : "ok", strerrorname_np(errno));
		} else if (is(how, "dup")) {
			files[b] = dup(files[a]);
			answer("ok");
		} else if (is(how, "dup2") || is(how, "dup3")) {
			int done = is(how, "dup2") ? dup2(files[a], files[b]) : dup3(files[a], files[b], O_CLOEXEC);
			answer(done == files[b] ? "ok" : "err %s", strerrorname_np(errno));
		} else if (is(how, "fcntl")) {
			files[b] = fcntl(files[a], F_DUPFD, 0);
			answer("ok");
		} else if (is(how, "raw")) {
			files[b] = (int)syscall(SYS_dup, files[a]);
			answer("ok");
		} else if (is(how, "fill")) {
			char letters[64];
			memset(letters, 'A' + (int)d, sizeof letters);
			wrote(pwrite(files[a], letters, c, (off_t)b), c);
		} else if (is(how, "fclose")) {
			answer(fclose(fdopen(files[a], "r+")) ? "err" : "ok");
		} else if (is(how, "number")) {
			answer("ok %d", files[a]);
		} else if (is(how, "pass")) {
			files[b] = pass(files[a]);
			answer("ok");
		} else if (is(how, "storm")) {
			rage_in(a, b, c);
		} else if (is(how, "close")) {
			answer(close(files[a]) ? "err" : "ok");
		} else if (is(how, "time")) {
			const char *text = pattern(b, 1);
			double before = now_ns();
			for (unsigned long count = 0; count < a; count++)
				if (write(files[c], text, b) != (ssize_t)b)
					BROKEN("a write: %s", strerror(errno));
			answer("ok %.0f", (now_ns() - before) / (double)a);
		} else {
			struct work work = { files[a], (off_t)b, c, d };
			write_by(how, work);
		}
	}
	return 0;
}
