/* Guest: files that a program was started with, even if it has moved them, and files of
 * `/proc` that show the program itself.
 *
 * `move` moves descriptor 7 to another number, `exec` becomes the same program again, `say TEXT`
 * writes a line to that file and `note TEXT` one to a file of the program's own, which `own`
 * opens. `proc` opens files below `/proc/self`, `look` reads them. */
#include <fcntl.h>

#define DO(call)                                                                     \
	({                                                                           \
		long outcome_ = (long)(call);                                        \
		if (outcome_ == -1)                                                  \
			BROKEN("%s: %s", #call, strerror(errno));                    \
		outcome_;                                                            \
	})
#define FAIL(...) return answer("err " __VA_ARGS__)

static const int moved = 20;
static int own, stat_fd, mem, thread_stat, directory;
static volatile long secret = 4711;
static atomic_int thread_id;

static void line_to(int fd, const char *text)
{
	DO(write(fd, text, strlen(text)));
	DO(write(fd, "\n", 1));
	answer("ok");
}

static void *sleeper(void *argument)
{
	thread_id = gettid();
	for (;;)
		pause();
	return argument;
}

static void open_proc(void)
{
	char path[64];
	start(sleeper, NULL);
	LOOK(thread_id);
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread_id);
	thread_stat = DO(open(path, O_RDONLY));
	stat_fd = DO(open("/proc/self/stat", O_RDONLY));
	mem = DO(open("/proc/self/mem", O_RDWR));
	directory = DO(open("/proc/self/task", O_RDONLY | O_DIRECTORY));
	answer("ok");
}

static int number_in(int fd)
{
	char text[64] = "";
	if (pread(fd, text, sizeof text - 1, 0) <= 0)
		return -errno;
	return atoi(text);
}

static void look(void)
{
	long read_ = 0;
	char name[32];
	if (number_in(stat_fd) != getpid())
		FAIL("stat is of %d", number_in(stat_fd));
	if (pread(mem, &read_, sizeof read_, (off_t)(uintptr_t)&secret) != sizeof read_ ||
	    read_ != 4711)
		FAIL("memory: %ld", read_);
	if (number_in(thread_stat) <= 0 || number_in(thread_stat) == getpid())
		FAIL("the thread's stat is of %d", number_in(thread_stat));
	snprintf(name, sizeof name, "%d", getpid());
	if (faccessat(directory, name, F_OK, 0))
		FAIL("the directory: %s", strerror(errno));
	answer("ok");
}

int main(int count, char **arguments)
{
	const char *line;
	if (count > 1)
		answer("ok");
	while ((line = command())) {
		if (is(line, "move")) {
			DO(dup2(7, moved));
			DO(close(7));
			answer("ok");
		} else if (is(line, "exec")) {
			execl(arguments[0], arguments[0], "again", NULL);
			answer("err %s", strerror(errno));
		} else if (is(line, "own")) {
			own = DO(open("own", O_WRONLY | O_CREAT, 0600));
			answer("ok");
		} else if (strncmp(line, "say ", 4) == 0)
			line_to(moved, line + 4);
		else if (strncmp(line, "note ", 5) == 0)
			line_to(own, line + 5);
		else if (is(line, "proc"))
			open_proc();
		else if (is(line, "look"))
			look();
		else
			answer("err what is %s?", line);
	}
	return 0;
}
