/* Descriptors for events: eventfd, timerfd, signalfd, inotify. */
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* Eventfds. */
static struct {
	int plain, semaphore, full, zero, dup;
} counters;

static void count_up(int fd, unsigned long number)
{
	(void)!pour(fd, &number, sizeof number);
}

static void set_eventfds(int level)
{
	if (level == 1) {
		counters.plain = DO(eventfd(1, EFD_NONBLOCK));
		counters.semaphore = DO(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC));
		counters.full = DO(eventfd(0, EFD_NONBLOCK));
		counters.zero = DO(eventfd(0, 0));
		counters.dup = DO(dup(counters.plain));
		count_up(counters.full, ~0ul - 1);
	}
	count_up(counters.plain, 10 * level);
	count_up(counters.semaphore, level);
}

static void counts_to(int fd, unsigned long was, const char *what)
{
	unsigned long is = 0;
	WANT(drink(fd, &is, sizeof is) == 8, "%s has no count and had %lu", what, was);
	WANT(is == was, "%s counts to %lu and was %lu", what, is, was);
}

static void check_eventfds(int level)
{
	unsigned long one = 1;
	int sum = level * (level + 1) / 2;
	WANT(write(counters.full, &one, sizeof one) == -1 && errno == EAGAIN, "it isn't full");
	counts_to(counters.full, ~0ul - 1, "the full one");
	waits(counters.zero, "the one at zero");
	counts_to(counters.plain, 1 + 10 * sum, "the plain one");
	waits(counters.dup, "its dup");
	for (int time = 0; time < 2 + sum; time++)
		counts_to(counters.semaphore, 1, "the semaphore");
	waits(counters.semaphore, "the semaphore");
	count_up(counters.dup, 5);
	counts_to(counters.plain, 5, "the plain one, by its dup");
}

static void read_eventfds(void)
{
	unsigned long number;
	for (int fd = 0; fd < 3; fd++)
		drink((int[]){ counters.plain, counters.semaphore, counters.full }[fd], &number, 8);
}

static void write_eventfds(void)
{
	for (int fd = 0; fd < 4; fd++)
		count_up((int[]){ counters.plain, counters.semaphore, counters.full,
				  counters.zero }[fd], 1);
}

static void replace_semaphore(void)
{
	int fd = aloft(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
	dup3(fd, counters.semaphore, O_CLOEXEC);
	close(fd);
}

/* Timerfds. */
enum timer { PERIODIC, TICKING, ABSOLUTE, CANCELLED, EXPIRED, MISSED, DISARMED, TIMERS };
static const char *const timer_names[] = { "periodic", "ticking", "absolute", "cancelled on set",
					   "expired",  "missed",  "disarmed" };
static int timers[TIMERS];
static char timer_infos[TIMERS][300];
static const char *const timer_words[] = { "clockid", "settime flags", "it_interval", NULL };

static void arm(enum timer which, int flags, time_t first, long first_ns, time_t interval,
		long interval_ns)
{
	struct itimerspec time = { { interval, interval_ns }, { first, first_ns } };
	timerfd_settime(timers[which], flags, &time, NULL);
}

static void set_timerfds(int level)
{
	time_t now = time(NULL);
	if (level == 1)
		for (int which = 0; which < TIMERS; which++)
			timers[which] = DO(timerfd_create(
				which == PERIODIC || which == TICKING ? CLOCK_MONOTONIC :
				which == DISARMED ? CLOCK_BOOTTIME : CLOCK_REALTIME,
				TFD_NONBLOCK | (which == EXPIRED ? TFD_CLOEXEC : 0)));
	arm(PERIODIC, 0, 10000 * level, 0, 777 * level, 5);
	arm(TICKING, 0, 0, 1, 0, 20000000);
	arm(ABSOLUTE, TFD_TIMER_ABSTIME, now + 20000 * level, 0, 0, 0);
	arm(CANCELLED, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now + 30000 * level, 0, 9, 0);
	arm(EXPIRED, 0, 0, 1, 5000 * level, 0);
	/* So many periods are over already, and half of one. */
	arm(MISSED, TFD_TIMER_ABSTIME, now - 1000 * level - 500, 0, 1000, 0);
	if (!is_ready(timers[EXPIRED], 5000) || !is_ready(timers[MISSED], 5000))
		BROKEN("a timer does not expire");
	for (int which = 0; which < TIMERS; which++)
		info_of(timers[which], timer_words, NULL, timer_infos[which],
			sizeof timer_infos[which]);
}

/* So long it is until then, give or take the time that a test takes. */
static void time_left(enum timer which, long first, long interval)
{
	struct itimerspec time;
	timerfd_gettime(timers[which], &time);
	SAME(time.it_interval.tv_sec, interval, "the interval of the %s timer", timer_names[which]);
	WANT(time.it_value.tv_sec <= first && time.it_value.tv_sec >= first - 150 && first != 0,
	     "the %s timer has %ld s left and had %ld", timer_names[which], time.it_value.tv_sec,
	     first);
}

static void ticked(enum timer which, unsigned long was)
{
	unsigned long is = 0;
	WANT(drink(timers[which], &is, sizeof is) == 8, "the %s timer has no tick", timer_names[which]);
	WANT(is == was, "the %s timer has %lu ticks and had %lu", timer_names[which], is, was);
	waits(timers[which], timer_names[which]);
}

static void check_timerfds(int level)
{
	char info[300];
	unsigned long ticks;
	struct itimerspec none;
	for (int which = 0; which < TIMERS; which++) {
		info_of(timers[which], timer_words, NULL, info, sizeof info);
		WANT(strcmp(info, timer_infos[which]) == 0, "the %s timer is %s and was %s",
		     timer_names[which], info, timer_infos[which]);
	}
	time_left(PERIODIC, 10000 * level, 777 * level);
	time_left(ABSOLUTE, 20000 * level, 0);
	time_left(CANCELLED, 30000 * level, 9);
	time_left(EXPIRED, 5000 * level, 5000 * level);
	time_left(MISSED, 500, 1000);
	ticked(EXPIRED, 1);
	ticked(MISSED, level + 1);
	for (int which = 0; which < TIMERS; which++)
		if (which != TICKING)
			waits(timers[which], timer_names[which]);
	timerfd_gettime(timers[DISARMED], &none);
	WANT(!none.it_value.tv_sec && !none.it_value.tv_nsec, "the disarmed timer is armed");
	for (int tick = 0; tick < 3; tick++)
		WANT(is_ready(timers[TICKING], 5000) && read(timers[TICKING], &ticks, 8) == 8,
		     "the ticking timer stands still");
}

static void read_timers(void)
{
	for (int which = 0; which < TIMERS; which++)
		drain(timers[which]);
}

static void disarm_timers(void)
{
	for (int which = 0; which < TIMERS; which++)
		arm(which, 0, 0, 0, 0, 0);
}

static void rearm_timers(void)
{
	for (int which = 0; which < TIMERS; which++)
		arm(which, which % 2 ? TFD_TIMER_ABSTIME : 0, 5, 5, 50, 0);
}

static void replace_timers(void)
{
	int fd = aloft(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	for (int which = 0; which < TIMERS; which++)
		dup2(fd, timers[which]);
	close(fd);
}

/* Signalfds. */
static int signals, signals_dup, no_signals;

static void mask_of(sigset_t *set, int first, int last)
{
	sigemptyset(set);
	for (int number = first; number <= last; number++)
		sigaddset(set, SIGRTMIN + number);
}

static void set_signalfds(int level)
{
	sigset_t set;
	mask_of(&set, 5, 12);
	sigprocmask(SIG_BLOCK, &set, NULL);
	mask_of(&set, 5, 5 + level);
	signals = DO(signalfd(level == 1 ? -1 : signals, &set, SFD_NONBLOCK));
	if (level == 1) {
		sigemptyset(&set);
		signals_dup = DO(fcntl(signals, F_DUPFD_CLOEXEC, 0));
		no_signals = DO(signalfd(-1, &set, SFD_NONBLOCK));
	}
}

static void check_signalfds(int level)
{
	struct signalfd_siginfo info;
	sigset_t blocked;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int number = 5; number <= 12; number++) {
		WANT(sigismember(&blocked, SIGRTMIN + number), "signal %d isn't blocked", number);
		sigqueue(getpid(), SIGRTMIN + number, (union sigval){ .sival_int = number });
	}
	for (int number = 5; number <= 5 + level; number++) {
		WANT(drink(signals_dup, &info, sizeof info) == sizeof info,
		     "signal %d can't be read", number);
		SAME(info.ssi_signo, SIGRTMIN + number, "the signal");
		SAME(info.ssi_int, number, "the value of signal %d", number);
	}
	waits(signals, "a descriptor whose signals are read");
	waits(no_signals, "a descriptor of no signals");
}

static void change_mask(void)
{
	sigset_t set;
	mask_of(&set, 9, 12);
	signalfd(signals, &set, 0);
}

static void widen_no_mask(void)
{
	sigset_t set;
	mask_of(&set, 5, 12);
	signalfd(no_signals, &set, 0);
}

static void read_signal(void)
{
	/* Only what is sent here is taken, so nothing is left in the process either. */
	struct signalfd_siginfo info;
	sigset_t none;
	sigemptyset(&none);
	sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = 99 });
	drink(signals, &info, sizeof info);
	signalfd(signals, &none, 0);
}

/* Inotify. */
static int watcher, watches[4];
static char watch_list[1024];
static const char *const watch_words[] = { "inotify", NULL };

static void set_inotify(int level)
{
	char name[32];
	if (level == 1) {
		watcher = DO(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
		for (int number = 0; number < 4; number++) {
			snprintf(name, sizeof name, "watched-%d", number);
			DO(mkdir(at(name), 0755));
			snprintf(name, sizeof name, "watched-%d/file", number);
			make_file(name, 1, 0);
			/* The numbers have a gap where one was removed. */
			snprintf(name, sizeof name, "watched-%d", number);
			if (number < 3)
				watches[number] = DO(inotify_add_watch(watcher, at(name), IN_ATTRIB));
		}
		DO(inotify_rm_watch(watcher, watches[1]));
		drain(watcher);
	} else if (level == 2) {
		watches[3] = DO(inotify_add_watch(watcher, at("watched-3/file"),
						  IN_ATTRIB | IN_EXCL_UNLINK));
	} else {
		DO(inotify_add_watch(watcher, at("watched-0"), IN_ATTRIB | IN_CREATE));
	}
	info_of(watcher, watch_words, " ino:", watch_list, sizeof watch_list);
}

static void check_inotify(int level)
{
	char list[1024], name[32], buffer[1024] __attribute__((aligned(8)));
	info_of(watcher, watch_words, " ino:", list, sizeof list);
	WANT(strcmp(list, watch_list) == 0, "the watches are %s and were %s", list, watch_list);
	/* Events of the branch may or may not be there still. */
	drain(watcher);
	for (int number = 0; number < 4; number++) {
		snprintf(name, sizeof name, "watched-%d/file", number);
		chmod(at(name), 0600);
		long got = drink(watcher, buffer, sizeof buffer);
		struct inotify_event *event = (struct inotify_event *)buffer;
		if (number == 1 || (number == 3 && level == 1)) {
			WANT(got == -1, "an event of %s, which isn't watched", name);
			continue;
		}
		WANT(got > 0, "no event of %s", name);
		SAME(event->wd, watches[number], "the watch of %s", name);
		SAME(event->mask, IN_ATTRIB, "the event of %s", name);
		waits(watcher, name);
	}
}

static void remove_watches(void)
{
	for (int number = 0; number < 4; number++)
		inotify_rm_watch(watcher, watches[number]);
}

static void add_watches(void)
{
	inotify_add_watch(watcher, at("watched-1"), IN_ATTRIB);
	inotify_add_watch(watcher, base, IN_ALL_EVENTS);
}

static void change_watches(void)
{
	inotify_add_watch(watcher, at("watched-0"), IN_DELETE);
	inotify_add_watch(watcher, at("watched-2"), IN_MASK_ADD | IN_MODIFY);
}

static void renew_watcher(void)
{
	/* The same watches under other numbers. */
	int fd = aloft(inotify_init1(IN_NONBLOCK));
	inotify_add_watch(fd, at("watched-2"), IN_ATTRIB);
	inotify_add_watch(fd, at("watched-0"), IN_ATTRIB);
	dup3(fd, watcher, O_CLOEXEC);
	close(fd);
}
