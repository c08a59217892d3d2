/* Guest: reads its processor time in every way. `burn` uses some, in each of its three threads;
 * `look` prints all readings, in microseconds; `children` has a child use some and waits for it;
 * `fork` prints the readings of a new child; `speed` prints how long it takes to read the time
 * of day, in picoseconds. */
#include <sys/resource.h>
#include <sys/times.h>

static atomic_int wanted, done;
static _Atomic long long of_thread[2];

static long long on(clockid_t clock)
{
	struct timespec time;
	if (clock_gettime(clock, &time))
		BROKEN("clock %d: %s", (int)clock, strerror(errno));
	return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static void burn_ms(int milliseconds)
{
	long long end = on(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000;
	while (on(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static void *work(void *number)
{
	for (int seen = 0;; nap_ms(1)) {
		of_thread[(long)number] = on(CLOCK_THREAD_CPUTIME_ID);
		if (wanted != seen) {
			seen = wanted;
			burn_ms(60);
			of_thread[(long)number] = on(CLOCK_THREAD_CPUTIME_ID);
			done++;
		}
	}
}

static long long sum(struct timeval one, struct timeval other)
{
	return (one.tv_sec + other.tv_sec) * 1000000LL + one.tv_usec + other.tv_usec;
}

int main(void)
{
	clockid_t own, others;
	pthread_t threads[2];
	for (long number = 0; number < 2; number++)
		threads[number] = start(work, (void *)number);
	for (const char *line; (line = command());) {
		struct rusage usage, thread, children;
		struct tms ticks;
		if (is(line, "burn")) {
			done = 0;
			wanted++;
			burn_ms(120);
			if (!LOOK(done == 2))
				BROKEN("the threads stand still");
			answer("ok");
		} else if (is(line, "look")) {
			clock_getcpuclockid(0, &own);
			pthread_getcpuclockid(threads[0], &others);
			getrusage(RUSAGE_SELF, &usage);
			getrusage(RUSAGE_THREAD, &thread);
			getrusage(RUSAGE_CHILDREN, &children);
			times(&ticks);
			answer("ok %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", (long long)clock(),
			       on(CLOCK_PROCESS_CPUTIME_ID), on(own), sum(usage.ru_utime, usage.ru_stime),
			       (ticks.tms_utime + ticks.tms_stime) * 10000LL, on(CLOCK_THREAD_CPUTIME_ID),
			       sum(thread.ru_utime, thread.ru_stime), on(others), (long long)of_thread[0],
			       (long long)of_thread[1], sum(children.ru_utime, children.ru_stime),
			       (ticks.tms_cutime + ticks.tms_cstime) * 10000LL);
		} else if (is(line, "children")) {
			pid_t child = fork();
			if (child == 0) {
				burn_ms(80);
				_exit(0);
			}
			if (waitpid(child, NULL, 0) != child)
				BROKEN("wait: %s", strerror(errno));
			answer("ok");
		} else if (is(line, "fork")) {
			int told[2];
			long long time;
			if (pipe(told))
				BROKEN("pipe: %s", strerror(errno));
			pid_t child = fork();
			if (child == 0) {
				time = on(CLOCK_PROCESS_CPUTIME_ID);
				_exit(write(told[1], &time, sizeof time) != sizeof time);
			}
			if (read(told[0], &time, sizeof time) != sizeof time || waitpid(child, NULL, 0) != child)
				BROKEN("child: %s", strerror(errno));
			close(told[0]);
			close(told[1]);
			answer("ok %lld", time);
		} else if (is(line, "speed")) {
			struct timespec time;
			long long best = 1LL << 60;
			for (int round = 0; round < 20; round++) {
				long long begun = on(CLOCK_MONOTONIC);
				for (int look = 0; look < 100000; look++)
					clock_gettime(CLOCK_MONOTONIC, &time);
				long long took = on(CLOCK_MONOTONIC) - begun;
				best = took < best ? took : best;
			}
			answer("ok %lld", best * 10);
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
