/* Guest: threads with different kernel attributes. On the command `attributes` every thread
 * prints its own. */
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

/* The main thread is the last of them. */
#define WORKERS 3

struct attributes {
	const char *name;
	int nice, policy, blocked;
	unsigned long slack;
	size_t stack;
};

static const struct attributes wanted[WORKERS + 1] = {
	{ "batch", 3, SCHED_BATCH, SIGHUP, 123456, 16384 },
	{ "nice", 5, SCHED_OTHER, SIGWINCH, 777000, 32768 },
	{ "plain", 0, SCHED_OTHER, SIGUSR2, 50000, 65536 },
	{ "first", 1, SCHED_OTHER, SIGTTIN, 222000, 24576 },
};

static char described[WORKERS + 1][512];
static atomic_int asked, answered;

static void check(int result, const char *what)
{
	if (result)
		BROKEN("%s: %s", what, strerror(errno));
}

static void become(int number)
{
	const struct attributes *attributes = &wanted[number];
	struct sched_param priority = { 0 };
	cpu_set_t allowed, one;
	sigset_t blocked;
	stack_t stack = { .ss_sp = malloc(attributes->stack), .ss_size = attributes->stack };
	check(prctl(PR_SET_NAME, attributes->name), "name");
	check(sched_setscheduler(0, attributes->policy, &priority), "policy");
	check(setpriority(PRIO_PROCESS, 0, attributes->nice), "nice");
	check(prctl(PR_SET_TIMERSLACK, attributes->slack), "timer slack");
	check(sigaltstack(&stack, NULL), "alternate stack");
	sigemptyset(&blocked);
	sigaddset(&blocked, attributes->blocked);
	check(pthread_sigmask(SIG_BLOCK, &blocked, NULL), "mask");
	/* The workers have one processor each, as far as there are enough. */
	if (number == WORKERS)
		return;
	check(sched_getaffinity(0, sizeof allowed, &allowed), "affinity");
	int skip = number % CPU_COUNT(&allowed);
	CPU_ZERO(&one);
	for (int processor = 0; processor < CPU_SETSIZE; processor++)
		if (CPU_ISSET(processor, &allowed) && skip-- == 0)
			CPU_SET(processor, &one);
	check(sched_setaffinity(0, sizeof one, &one), "affinity");
}

static const char *restartable(void)
{
#ifdef RSEQ_SIG
	/* A second registration of the same area is refused in one way, a first one is not. */
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	if (__rseq_size == 0)
		return "off";
	if (syscall(SYS_rseq, area, 32, 0, RSEQ_SIG) == 0)
		return "lost";
	return errno == EBUSY ? "kept" : strerrorname_np(errno);
#else
	return "unknown";
#endif
}

static void describe(int number)
{
	char name[16];
	cpu_set_t processors;
	sigset_t blocked;
	stack_t stack;
	void *robust = NULL;
	size_t length = 0;
	int count = 0, first = -1;
	unsigned long mask = 0;
	prctl(PR_GET_NAME, name);
	sched_getaffinity(0, sizeof processors, &processors);
	for (int processor = CPU_SETSIZE - 1; processor >= 0; processor--)
		if (CPU_ISSET(processor, &processors))
			count++, first = processor;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	for (int signal = 1; signal < 64; signal++)
		if (sigismember(&blocked, signal) == 1)
			mask |= 1ul << signal;
	sigaltstack(NULL, &stack);
	syscall(SYS_get_robust_list, 0, &robust, &length);
	snprintf(described[number], sizeof described[number],
		 "name=%s processors=%d@%d nice=%d policy=%d slack=%d mask=%lx stack=%p+%zu/%d "
		 "robust=%p+%zu rseq=%s",
		 name, count, first, getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
		 prctl(PR_GET_TIMERSLACK), mask, stack.ss_sp, stack.ss_size, stack.ss_flags,
		 robust, length, restartable());
}

static void *work(void *argument)
{
	int number = (long)argument, seen = 0;
	become(number);
	for (;;) {
		if (asked != seen) {
			seen = asked;
			describe(number);
			answered++;
		}
		counts[number]++;
		nap_ms(1);
	}
	return NULL;
}

int main(void)
{
	for (long number = 0; number < WORKERS; number++)
		start(work, (void *)number);
	become(WORKERS);
	for (const char *line; (line = command());) {
		if (is(line, "advance")) {
			advance(WORKERS);
		} else if (is(line, "attributes")) {
			answered = 0;
			asked++;
			if (!LOOK(answered == WORKERS)) {
				answer("err a thread does not answer");
				continue;
			}
			describe(WORKERS);
			answer("ok %s; %s; %s; %s", described[0], described[1], described[2],
			       described[3]);
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
