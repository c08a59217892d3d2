/* Guest: changes files under a storm of signals with a handler that asks for no restart. Without
 * a snapshot the kernel interrupts none of these calls; so after a take it must not either.
 *
 * "storm N" makes N calls of each kind and answers "ok SIGNALS CALLS EINTR OTHERS": how many
 * signals came, and how many calls failed with EINTR or with another error. "fifo" opens a FIFO
 * that nobody writes to, until a signal ends that, and answers "ok ERRNO". "handler" answers
 * whether the handler is the one that was set, and "replace" sets it again, by each function. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>

static volatile sig_atomic_t signals;
static long calls, interrupted, others;

static void count_one(int signal)
{
	(void)signal;
	signals++;
}

static void count_other(int signal, siginfo_t *info, void *context)
{
	if (!info || !context)
		BROKEN("a handler without its arguments");
	count_one(signal);
}

static void handle(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags };
	sigaction(SIGALRM, &action, NULL);
}

static void beat(long microseconds)
{
	struct itimerval timer = { { 0, microseconds }, { 0, microseconds } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void check(int failed)
{
	calls++;
	if (failed && errno == EINTR)
		interrupted++;
	else if (failed)
		others++;
}

static void change_files(int round)
{
	struct stat status;
	struct timespec times[2] = { { round, 0 }, { round, 0 } };
	int file = open("one", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(file < 0);
	check(file >= 0 && ftruncate(file, 10));
	check(file >= 0 && fchmod(file, 0640));
	check(file >= 0 && fcntl(file, F_SETFL, 0));
	close(file);
	FILE *stream = fopen("two", "w");
	check(!stream);
	if (stream)
		fclose(stream);
	file = (int)syscall(SYS_openat, AT_FDCWD, "three", O_RDWR | O_CREAT, 0600);
	check(file < 0);
	close(file);
	check(rename("one", "four"));
	check(link("four", "five"));
	check(symlink("four", "six"));
	check(chmod("four", 0600));
	check(utimensat(AT_FDCWD, "four", times, 0));
	check(truncate("four", 0));
	check(mkdir("seven", 0700));
	check(stat("seven", &status));
	check(rmdir("seven"));
	check(unlink("two"));
	check(unlinkat(AT_FDCWD, "three", 0));
	check(unlink("four"));
	check(remove("five"));
	check(unlink("six"));
	umask(022);
}

static void storm(int rounds)
{
	calls = interrupted = others = 0;
	signals = 0;
	beat(60);
	for (int round = 0; round < rounds; round++)
		change_files(round);
	beat(0);
	answer("ok %ld %ld %ld %ld", (long)signals, calls, interrupted, others);
}

static void fifo(void)
{
	mkfifo("fifo", 0600);
	beat(20000);
	int file = open("fifo", O_WRONLY);
	int error = errno;
	beat(0);
	unlink("fifo");
	answer("ok %s", file < 0 ? strerrorname_np(error) : "opened");
}

static int has(void *handler)
{
	struct sigaction action;
	sigaction(SIGALRM, NULL, &action);
	return (void *)action.sa_sigaction == handler;
}

/* Each function that sets a handler returns the one that was set before. */
static void replace(void)
{
	struct sigaction action = { .sa_sigaction = count_other, .sa_flags = SA_SIGINFO }, old;
	int is_right = has(count_one);
	sigaction(SIGALRM, &action, &old);
	is_right = is_right && (void *)old.sa_handler == (void *)count_one && has(count_other);
	raise(SIGALRM);
	void *before = signal(SIGALRM, SIG_IGN);
	is_right = is_right && before == (void *)count_other;
	before = sysv_signal(SIGALRM, count_one);
	is_right = is_right && before == (void *)SIG_IGN && has(count_one);
	raise(SIGALRM);
	is_right = is_right && has(SIG_DFL);
	handle((void *)count_one, 0);
	answer(is_right && has(count_one) ? "ok" : "err another handler");
}

int main(void)
{
	handle((void *)count_one, 0);
	answer("ready");
	const char *line;
	while ((line = command())) {
		if (!strncmp(line, "storm ", 6))
			storm(atoi(line + 6));
		else if (is(line, "fifo"))
			fifo();
		else if (is(line, "handler"))
			answer(has(count_one) ? "ok" : "err another handler");
		else if (is(line, "replace"))
			replace();
		else
			answer("err unknown");
	}
}
