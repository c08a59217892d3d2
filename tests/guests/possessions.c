/* Guest: what the kernel keeps for a process and doesn't copy: timers, locked memory, memory
 * that isn't copied, pending signals, and a few settings.
 *
 * `state` prints all of it; `tick` waits until every timer has fired three times; `queue` leaves
 * signals pending and `drain` takes them; `lockall` locks all memory. */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>

#define AREA 65536
#define WAITING (SIGRTMIN + 6)
#define OWN (SIGRTMIN + 7)

enum timer { SIGNAL, THREAD_ID, THREAD, REAL, TIMERS };

static timer_t timers[TIMERS];
static atomic_ulong ticks[TIMERS];
static char *locked, *unshared;
static pthread_t worker;
static atomic_int worker_id, drain_asked, drained;
static char drained_by_worker[256];

static void on_timer(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	if (info->si_code != SI_TIMER)
		BROKEN("a timer's signal with code %d", info->si_code);
	if (info->si_value.sival_int == 11)
		ticks[SIGNAL]++;
	else if (info->si_value.sival_int != 22)
		BROKEN("a timer's value is %d", info->si_value.sival_int);
	else if (!pthread_equal(pthread_self(), worker))
		BROKEN("a timer's signal in another thread");
	else
		ticks[THREAD_ID]++;
}

static void on_alarm(int number)
{
	(void)number;
	ticks[REAL]++;
}

static void on_thread(union sigval value)
{
	if (value.sival_int != 33)
		BROKEN("a timer's thread has the value %d", value.sival_int);
	ticks[THREAD]++;
}

static void make_timer(enum timer which, struct sigevent *event)
{
	static const struct itimerspec often = { { 0, 20000000 }, { 0, 20000000 } };
	if (timer_create(CLOCK_MONOTONIC, event, &timers[which]))
		BROKEN("timer_create: %s", strerror(errno));
	if (timer_settime(timers[which], 0, &often, NULL))
		BROKEN("timer_settime: %s", strerror(errno));
}

static void make_timers(void)
{
	struct sigaction by_value = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigaction plain = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
	timer_t gone[3];
	sigaction(SIGRTMIN + 1, &by_value, NULL);
	sigaction(SIGRTMIN + 2, &by_value, NULL);
	sigaction(SIGALRM, &plain, NULL);
	/* Some are made and deleted, so that the numbers have a gap. */
	for (int index = 0; index < 3; index++)
		timer_create(CLOCK_MONOTONIC, &event, &gone[index]);
	event.sigev_value.sival_int = 11;
	make_timer(SIGNAL, &event);
	for (int index = 0; index < 3; index++)
		timer_delete(gone[index]);

	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = SIGRTMIN + 2;
	event.sigev_value.sival_int = 22;
	event._sigev_un._tid = worker_id;
	make_timer(THREAD_ID, &event);

	struct sigevent in_thread = { .sigev_notify = SIGEV_THREAD,
				      .sigev_notify_function = on_thread };
	in_thread.sigev_value.sival_int = 33;
	make_timer(THREAD, &in_thread);
	setitimer(ITIMER_REAL, &often, NULL);
}

/* The set of the kernel's numbers for all timers, a bit each. */
static unsigned long timer_ids(void)
{
	char line[256];
	unsigned long set = 0;
	int id;
	FILE *file = fopen("/proc/self/timers", "r");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "ID: %d", &id) == 1)
			set |= 1ul << id;
	if (file)
		fclose(file);
	return set;
}

/* Whether the kernel has this flag for the memory at an address. */
static int has_flag(const void *address, const char *flag)
{
	char line[512];
	unsigned long from, to;
	int here = 0, found = 0;
	FILE *file = fopen("/proc/self/smaps", "r");
	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	if (file)
		fclose(file);
	return found;
}

/* A line of a status file, without its name and the white space before its value. */
static void status(int thread, const char *field, char *value)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
	FILE *file = fopen(path, "r");
	strcpy(value, "?");
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, field, strlen(field)) == 0)
			sscanf(line + strlen(field) + 1, " %[^\n]", value);
	if (file)
		fclose(file);
}

/* Which of the signals that `queue` sends wait here; a timer's may wait at any moment. */
static unsigned long waiting(int thread, const char *field)
{
	char value[256];
	status(thread, field, value);
	return strtoul(value, NULL, 16) &
	       (1ul << (WAITING - 1) | 1ul << (OWN - 1) | 1ul << (SIGUSR2 - 1));
}

static int intact(const char *area, int tag)
{
	for (int index = 0; index < AREA; index++)
		if (area[index] != (char)(index * 7 + tag))
			return 0;
	return 1;
}

static char *area(int tag)
{
	char *area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		BROKEN("mmap: %s", strerror(errno));
	for (int index = 0; index < AREA; index++)
		area[index] = index * 7 + tag;
	return area;
}

static void say_state(void)
{
	char size[256];
	int deathsig = -1, subreaper = -1, mask = umask(0);
	struct itimerspec time = { 0 };
	umask(mask);
	prctl(PR_GET_PDEATHSIG, &deathsig);
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	/* The worker has another id after a revert, and tells as it passes by. */
	for (unsigned long seen = counts[0]; counts[0] < seen + 2;)
		nap_ms(1);
	status(gettid(), "VmLck", size);
	timer_gettime(timers[SIGNAL], &time);
	answer("ok umask=%03o deathsig=%d subreaper=%d timers=%lx interval=%ld locked=%s/%d "
	       "unshared=%d/%d waiting=%lx/%lx/%lx",
	       mask, deathsig, subreaper, timer_ids(), time.it_interval.tv_nsec, size,
	       has_flag(locked, " lo"), intact(unshared, 2), has_flag(unshared, " dc"),
	       waiting(gettid(), "ShdPnd"), waiting(gettid(), "SigPnd"),
	       waiting(worker_id, "SigPnd"));
}

/* Takes all waiting signals that the calling thread can see. */
static void drain(char *list)
{
	struct timespec now = { 0, 0 };
	siginfo_t info;
	sigset_t set;
	int number;
	sigemptyset(&set);
	sigaddset(&set, OWN);
	if (pthread_self() != worker) {
		sigaddset(&set, WAITING);
		sigaddset(&set, SIGUSR2);
	}
	*list = 0;
	while ((number = sigtimedwait(&set, &info, &now)) > 0) {
		const char *name = number == OWN ? "own" : number == WAITING ? "shared" : "plain";
		list += sprintf(list, " %s:%d:%d", name, info.si_code,
				info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
	}
}

static void *work(void *unused)
{
	int seen = 0;
	worker_id = gettid();
	for (;;) {
		if (drain_asked != seen) {
			seen = drain_asked;
			drain(drained_by_worker);
			drained = seen;
		}
		/* After a revert it is another one. */
		worker_id = gettid();
		counts[0]++;
		nap_ms(1);
	}
	return unused;
}

static void queue(void)
{
	sigqueue(getpid(), WAITING, (union sigval){ .sival_int = 61 });
	sigqueue(getpid(), WAITING, (union sigval){ .sival_int = 62 });
	pthread_sigqueue(pthread_self(), OWN, (union sigval){ .sival_int = 71 });
	pthread_sigqueue(worker, OWN, (union sigval){ .sival_int = 72 });
	kill(getpid(), SIGUSR2);
}

static void tick(void)
{
	unsigned long before[TIMERS];
	static const char *const names[] = { "signal", "thread id", "thread", "real" };
	for (int which = 0; which < TIMERS; which++)
		before[which] = ticks[which];
	for (int which = 0; which < TIMERS; which++)
		if (!LOOK(ticks[which] >= before[which] + 3)) {
			answer("err the %s timer stands still", names[which]);
			return;
		}
	answer("ok");
}

int main(void)
{
	char list[256];
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, WAITING);
	sigaddset(&blocked, OWN);
	sigaddset(&blocked, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	worker = start(work, NULL);
	if (!LOOK(worker_id))
		BROKEN("the worker does not begin");
	make_timers();
	locked = area(1);
	unshared = area(2);
	if (mlock(locked, AREA) || madvise(unshared, AREA, MADV_DONTFORK))
		BROKEN("memory: %s", strerror(errno));
	prctl(PR_SET_PDEATHSIG, SIGWINCH);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	umask(027);
	for (const char *line; (line = command());) {
		if (is(line, "state")) {
			say_state();
		} else if (is(line, "tick")) {
			tick();
		} else if (is(line, "queue")) {
			queue();
			answer("ok");
		} else if (is(line, "drain")) {
			drain(list);
			drain_asked++;
			if (LOOK(drained == drain_asked))
				answer("ok main%s worker%s", list, drained_by_worker);
			else
				answer("err the worker does not drain");
		} else if (is(line, "lockall")) {
			answer("ok %s", mlockall(MCL_CURRENT | MCL_FUTURE) ? strerror(errno) : "locked");
		} else if (is(line, "future")) {
			/* What is mapped from now on is locked, and what was there is. */
			answer("ok %d%d", has_flag(unshared, " lo"), has_flag(area(3), " lo"));
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
