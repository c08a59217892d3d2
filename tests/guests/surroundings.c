/* Guest: on `say` on stdin it prints what it has inherited from its starter, one thing a line.
 * As `start THINGS... -- PROGRAM ARGUMENTS...` it is the starter itself: it sets these things
 * for itself, and becomes the program. */
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void check(int result, const char *what)
{
	if (result < 0)
		BROKEN("%s: %s", what, strerror(errno));
}

static void become(const char *thing)
{
	struct rlimit limit;
	cpu_set_t one;
	int number, value;
	if (sscanf(thing, "ignore=%d", &number) == 1) {
		check(signal(number, SIG_IGN) == SIG_ERR ? -1 : 0, thing);
	} else if (sscanf(thing, "block=%d", &number) == 1) {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, number);
		check(sigprocmask(SIG_BLOCK, &set, NULL), thing);
	} else if (sscanf(thing, "limit=%d,%d", &number, &value) == 2) {
		check(getrlimit(number, &limit), thing);
		limit.rlim_cur = value;
		check(setrlimit(number, &limit), thing);
	} else if (sscanf(thing, "nice=%d", &value) == 1) {
		check(setpriority(PRIO_PROCESS, 0, value), thing);
	} else if (sscanf(thing, "policy=%d", &value) == 1) {
		struct sched_param priority = { 0 };
		check(sched_setscheduler(0, value, &priority), thing);
	} else if (sscanf(thing, "processor=%d", &value) == 1) {
		CPU_ZERO(&one);
		CPU_SET(value, &one);
		check(sched_setaffinity(0, sizeof one, &one), thing);
	} else if (sscanf(thing, "umask=%o", &value) == 1) {
		umask(value);
	} else if (sscanf(thing, "ioprio=%d", &value) == 1) {
		int priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, value);
		check(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority), thing);
	} else if (sscanf(thing, "slack=%d", &value) == 1) {
		check(prctl(PR_SET_TIMERSLACK, value), thing);
	} else if (sscanf(thing, "oom=%d", &value) == 1) {
		FILE *file = fopen("/proc/self/oom_score_adj", "w");
		check(file && fprintf(file, "%d", value) > 0 && !fclose(file) ? 0 : -1, thing);
	} else if (sscanf(thing, "dumps=%x", &value) == 1) {
		FILE *file = fopen("/proc/self/coredump_filter", "w");
		check(file && fprintf(file, "%d", value) > 0 && !fclose(file) ? 0 : -1, thing);
	} else if (is(thing, "no-huge-pages")) {
		check(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), thing);
	} else if (is(thing, "fixed-addresses")) {
		check(personality(ADDR_NO_RANDOMIZE), thing);
	} else {
		BROKEN("what is %s?", thing);
	}
}

static void say_file(const char *path)
{
	static char text[4096];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	check(length < 0 ? -1 : 0, path);
	close(file);
	text[length] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		answer("%s: %s", path, line);
}

static void say(void)
{
	struct sched_param priority;
	cpu_set_t allowed;
	sigset_t blocked, pending;
	check(sigprocmask(SIG_BLOCK, NULL, &blocked), "mask");
	check(sigpending(&pending), "pending");
	for (int number = 1; number <= 64; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) < 0)
			continue;
		answer("signal %d: %s%s%s", number,
		       action.sa_handler == SIG_IGN ? "ignored" :
		       action.sa_handler == SIG_DFL ? "default" : "handled",
		       sigismember(&blocked, number) ? ", blocked" : "",
		       sigismember(&pending, number) ? ", pending" : "");
	}
	say_file("/proc/self/limits");
	say_file("/proc/self/oom_score_adj");
	say_file("/proc/self/coredump_filter");
	say_file("/proc/self/cgroup");
	check(sched_getparam(0, &priority), "parameters");
	check(sched_getaffinity(0, sizeof allowed, &allowed), "affinity");
	answer("nice: %d", getpriority(PRIO_PROCESS, 0));
	answer("policy: %d %d", sched_getscheduler(0), priority.sched_priority);
	for (int processor = 0; processor < CPU_SETSIZE; processor++)
		if (CPU_ISSET(processor, &allowed))
			answer("processor: %d", processor);
	mode_t mask = umask(0);
	umask(mask);
	answer("umask: %o", mask);
	answer("ioprio: %ld", syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
	answer("slack: %d", prctl(PR_GET_TIMERSLACK));
	answer("dumpable: %d", prctl(PR_GET_DUMPABLE));
	answer("no new rights: %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	answer("keeps rights: %d", prctl(PR_GET_KEEPCAPS));
	answer("secure bits: %x", prctl(PR_GET_SECUREBITS));
	answer("no huge pages: %d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	answer("personality: %x", personality(0xffffffff));
	answer("ok");
}

int main(int count, char **arguments)
{
	const char *line;
	if (count > 1 && is(arguments[1], "start")) {
		int next = 2;
		while (next < count && !is(arguments[next], "--"))
			become(arguments[next++]);
		execvp(arguments[next + 1], arguments + next + 1);
		BROKEN("%s: %s", arguments[next + 1], strerror(errno));
	}
	while ((line = command()))
		say();
	return 0;
}
