/* Guest: uses the trigger itself, in every possible way, and prints the results. The output
 * must be the same with the tool as without it, line for line.
 *
 *   checks     on each line of input all checks once, and then "done"
 *   default    a child sends it while the program has no handler, and it must die of it
 *   reader     waits in a read that the trigger's handler interrupts, and prints what it reads
 *   waiter     blocks it and takes it by sigwaitinfo
 *   fd         blocks it and reads it from a signalfd
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int trigger = SIGUSR1;
static volatile sig_atomic_t ran, other, code, sender, value, deepest, level, masked, on_stack;
static char stack[64 * 1024];

static void on_signal(int signal, siginfo_t *info, void *context)
{
	sigset_t mask;
	char here;
	(void)context;
	ran++;
	code = info->si_code;
	sender = info->si_pid;
	value = info->si_value.sival_int;
	sigprocmask(SIG_BLOCK, NULL, &mask);
	masked = sigismember(&mask, signal) * 4 + sigismember(&mask, SIGHUP) * 2
		+ sigismember(&mask, SIGQUIT);
	on_stack = &here >= stack && &here < stack + sizeof stack;
	level++;
	if (level > deepest)
		deepest = level;
	if (level == 1 && value == 77)
		raise(signal);
	level--;
}

static void on_other(int signal)
{
	(void)signal;
	other++;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };
	sigaddset(&action.sa_mask, SIGHUP);
	sigaction(trigger, &action, NULL);
	ran = other = code = sender = value = deepest = level = masked = on_stack = 0;
}

static void plain(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };
	sigaction(trigger, &action, NULL);
}

static sigset_t only(int signal)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

static int status_of(pid_t child)
{
	int status = -1;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* A child sends it. */
static pid_t child_sends(int after_ms, int then_writes)
{
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		usleep(after_ms * 1000);
		kill(parent, trigger);
		if (then_writes >= 0) {
			usleep(20000);
			write(then_writes, "x", 1);
		}
		_exit(0);
	}
	return child;
}

/* A grandchild sends it that has lost its parent, and has ended when this returns. */
static void orphan_sends(void)
{
	pid_t root = getpid();
	int ends[2];
	pipe(ends);
	pid_t child = fork();
	if (child == 0) {
		pid_t parent = getpid();
		if (fork() == 0) {
			while (getppid() == parent)
				usleep(100);
			kill(root, trigger);
			_exit(0);
		}
		_exit(0);
	}
	close(ends[1]);
	status_of(child);
	char byte;
	while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(ends[0]);
	/* Whoever has become its parent reaps it. */
	usleep(20000);
}

static void *nap(void *on)
{
	sigset_t none;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	while (!*(volatile int *)on)
		usleep(1000);
	return NULL;
}

static void checks(void)
{
	sigset_t one = only(trigger), before, both;
	siginfo_t info;
	pid_t child;
	int ends[2], answer, done = 0;
	char byte;
	struct timespec second = { 5, 0 };

	handle(SA_RESTART);
	child = child_sends(0, -1);
	status_of(child);
	printf("child: ran %d code %d from it %d mask %d\n", ran, code, sender == child, masked);

	handle(0);
	orphan_sends();
	printf("orphan: ran %d code %d\n", ran, code);

	sigprocmask(SIG_BLOCK, &one, &before);
	handle(0);
	child = child_sends(0, -1);
	status_of(child);
	answer = ran;
	sigprocmask(SIG_SETMASK, &before, NULL);
	printf("late, the sender is gone: ran %d then %d from it %d\n", answer, ran, sender == child);

	handle(0);
	pipe(ends);
	child = child_sends(20, ends[1]);
	answer = read(ends[0], &byte, 1);
	printf("read: %d %s ran %d\n", answer, answer < 0 ? strerror(errno) : "", ran);
	status_of(child);

	handle(SA_RESTART);
	child = child_sends(20, ends[1]);
	read(ends[0], &byte, 1);
	answer = read(ends[0], &byte, 1);
	printf("read that restarts: %d %s ran %d\n", answer, answer < 0 ? strerror(errno) : "", ran);
	status_of(child);

	handle(SA_RESTART);
	child = child_sends(20, -1);
	answer = poll(NULL, 0, 5000);
	printf("poll: %d %s ran %d\n", answer, strerror(errno), ran);
	status_of(child);

	handle(SA_RESETHAND);
	raise(trigger);
	struct sigaction now;
	sigaction(trigger, NULL, &now);
	printf("once: ran %d code %d left %d\n", ran, code, now.sa_handler == SIG_DFL);

	handle(SA_NODEFER);
	sigqueue(getpid(), trigger, (union sigval){ .sival_int = 77 });
	printf("open to itself: ran %d deepest %d value %d code %d mask %d\n",
		ran, deepest, value, code, masked);
	handle(0);
	sigqueue(getpid(), trigger, (union sigval){ .sival_int = 77 });
	printf("closed to itself: ran %d deepest %d\n", ran, deepest);

	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack }, former;
	sigaltstack(&alternate, &former);
	handle(SA_ONSTACK);
	raise(trigger);
	answer = on_stack;
	handle(0);
	raise(trigger);
	printf("stacks: %d %d\n", answer, on_stack);
	sigaltstack(&former, NULL);

	/* Two wait, and both handlers run before sigsuspend returns. */
	struct sigaction second_action = { .sa_handler = on_other };
	sigaction(SIGUSR2, &second_action, NULL);
	both = one;
	sigaddset(&both, SIGUSR2);
	sigprocmask(SIG_BLOCK, &both, &before);
	handle(0);
	status_of(child_sends(0, -1));
	raise(SIGUSR2);
	sigsuspend(&before);
	printf("sigsuspend: %d and %d\n", ran, other);
	handle(0);
	status_of(child_sends(0, -1));
	raise(SIGUSR2);
	answer = ppoll(NULL, 0, &second, &before);
	printf("ppoll: %d %s %d and %d\n", answer, strerror(errno), ran, other);
	sigprocmask(SIG_SETMASK, &before, NULL);

	handle(SA_RESTART);
	child = child_sends(20, -1);
	answer = pause();
	printf("pause: %d %s ran %d\n", answer, strerror(errno), ran);
	status_of(child);

	/* Whoever waits for it instead of handling it. */
	sigprocmask(SIG_BLOCK, &one, &before);
	plain(SIG_DFL);
	child = child_sends(20, -1);
	sigwait(&one, &answer);
	printf("sigwait: %d\n", answer == trigger);
	status_of(child);
	child = child_sends(20, -1);
	answer = sigwaitinfo(&one, &info);
	printf("sigwaitinfo: %d code %d from it %d\n", answer == trigger, info.si_code,
		info.si_pid == child);
	status_of(child);
	child = child_sends(0, -1);
	status_of(child);
	answer = sigtimedwait(&one, &info, &second);
	printf("sigtimedwait: %d code %d from it %d\n", answer == trigger, info.si_code,
		info.si_pid == child);
	struct timespec moment = { 0, 20000000 };
	answer = sigtimedwait(&one, &info, &moment);
	printf("in vain: %d %s\n", answer, strerror(errno));
	int fd = signalfd(-1, &one, SFD_CLOEXEC);
	struct signalfd_siginfo told;
	child = child_sends(20, -1);
	answer = read(fd, &told, sizeof told);
	printf("signalfd: %d code %d from it %d\n", answer == (int)sizeof told, told.ssi_code,
		(pid_t)told.ssi_pid == child);
	status_of(child);
	close(fd);
	sigprocmask(SIG_SETMASK, &before, NULL);

	/* What is ignored disturbs nothing. */
	plain(SIG_IGN);
	child = child_sends(10, ends[1]);
	answer = read(ends[0], &byte, 1);
	raise(trigger);
	printf("ignored: %d\n", answer);
	status_of(child);

	/* By other ways than kill. */
	handle(0);
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = trigger };
	struct itimerspec soon = { .it_value = { 0, 10000000 } };
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	nanosleep(&second, NULL);
	timer_delete(timer);
	printf("timer: ran %d code %d\n", ran, code);
	handle(0);
	fcntl(ends[0], F_SETOWN, getpid());
	fcntl(ends[0], F_SETSIG, trigger);
	fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	write(ends[1], "x", 1);
	fcntl(ends[0], F_SETFL, 0);
	printf("a pipe with bytes: ran %d code %d\n", ran > 0, code);
	handle(0);
	pthread_t thread;
	pthread_create(&thread, NULL, nap, &done);
	pthread_kill(thread, trigger);
	while (!ran)
		usleep(1000);
	printf("pthread_kill: ran %d code %d\n", ran, code);
	handle(0);
	sigprocmask(SIG_BLOCK, &one, &before);
	status_of(child_sends(0, -1));
	while (!ran)
		usleep(1000);
	printf("another thread: ran %d code %d\n", ran, code);
	sigprocmask(SIG_SETMASK, &before, NULL);
	done = 1;
	pthread_join(thread, NULL);

	close(ends[0]);
	close(ends[1]);
	handle(0);
	puts("done");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "checks";
	char line[100];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2)
		trigger = atoi(argv[2]);
	if (!strcmp(mode, "default")) {
		puts("ready");
		fgets(line, sizeof line, stdin);
		status_of(child_sends(0, -1));
		puts("alive");
		return 0;
	}
	if (!strcmp(mode, "waiter")) {
		sigset_t one = only(trigger);
		siginfo_t info;
		sigprocmask(SIG_BLOCK, &one, NULL);
		puts("ready");
		for (;;) {
			int answer = sigwaitinfo(&one, &info);
			if (answer < 0)
				printf("%s\n", strerror(errno));
			else
				printf("got %d\n", info.si_code);
		}
	}
	if (!strcmp(mode, "fd")) {
		sigset_t one = only(trigger);
		struct signalfd_siginfo told;
		sigprocmask(SIG_BLOCK, &one, NULL);
		int fd = signalfd(-1, &one, 0);
		puts("ready");
		for (;;) {
			if (read(fd, &told, sizeof told) == (ssize_t)sizeof told)
				printf("got %d\n", told.ssi_code);
			else
				printf("%s\n", strerror(errno));
		}
	}
	handle(0);
	if (!strcmp(mode, "reader")) {
		puts("ready");
		for (;;) {
			ssize_t length = read(0, line, sizeof line - 1);
			if (length == 0)
				return 0;
			if (length < 0) {
				printf("%s, ran %d\n", strerror(errno), ran);
				continue;
			}
			line[length] = 0;
			printf("read %s", line);
			if (!strcmp(line, "send\n"))
				child_sends(20, -1);
			/* To more than the program. */
			if (!strcmp(line, "group\n")) {
				ran = 0;
				kill(0, trigger);
				printf("group, ran %d\n", ran);
			}
		}
	}
	puts("ready");
	for (;;) {
		ssize_t length = read(0, line, sizeof line);
		if (length == 0)
			return 0;
		if (length < 0) {
			printf("read: %s\n", strerror(errno));
			continue;
		}
		checks();
	}
}
