/* Guest: children that end on a command, and every way to wait for them. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define MOST 64

static struct {
	pid_t pid;
	int orders;
	int handle;
} children[MOST];
static int known;

static volatile sig_atomic_t heard;
static volatile sig_atomic_t heard_pid, heard_status, heard_code;
static int from_signals = -1;

static void on_child(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	heard++;
	heard_pid = info->si_pid;
	heard_status = info->si_status;
	heard_code = info->si_code;
}

static void on_other(int signal)
{
	(void)signal;
}

static int number_of(pid_t pid)
{
	for (int number = known - 1; number >= 0; number--)
		if (children[number].pid == pid)
			return number;
	return -1;
}

/* A child: waits for an order, and ends as the order says. */
static void obey_parent(int orders)
{
	unsigned char order;
	/* The end of the pipe is no order: nobody is left who could give one. */
	while (read(orders, &order, 1) != 1)
		pause();
	if (order >= 200) {
		signal(order - 200, SIG_DFL);
		kill(getpid(), order - 200);
		for (;;)
			pause();
	}
	_exit(order);
}

static void start_child(int own_group)
{
	int ends[2];
	if (known == MOST || pipe2(ends, O_CLOEXEC))
		BROKEN("no child: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		BROKEN("fork: %s", strerror(errno));
	if (pid == 0) {
		close(ends[1]);
		if (own_group)
			setpgid(0, 0);
		obey_parent(ends[0]);
	}
	if (own_group)
		setpgid(pid, pid);
	close(ends[0]);
	children[known].pid = pid;
	children[known].orders = ends[1];
	children[known].handle = syscall(SYS_pidfd_open, pid, 0);
	answer("ok %d", pid);
	known++;
}

/* A child that has one itself, which ends when that does, and with its status. */
static void start_grandchild(void)
{
	int ends[2];
	if (known == MOST || pipe2(ends, O_CLOEXEC))
		BROKEN("no child: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		pid_t below = fork();
		if (below == 0)
			obey_parent(ends[0]);
		int status;
		while (waitpid(below, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	close(ends[0]);
	children[known].pid = pid;
	children[known].orders = ends[1];
	children[known].handle = syscall(SYS_pidfd_open, pid, 0);
	answer("ok %d", pid);
	known++;
}

struct request {
	char kind[16];
	int number;
	int options;
	char told[64];
	atomic_int tid;
	atomic_int done;
	pthread_t thread;
};

static void tell_status(struct request *request, pid_t pid, int status)
{
	int number = number_of(pid);
	if (WIFEXITED(status))
		snprintf(request->told, sizeof request->told, "%d exit %d", number, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(request->told, sizeof request->told, "%d signal %d", number, WTERMSIG(status));
	else
		snprintf(request->told, sizeof request->told, "%d status %x", number, status);
}

/* One wait of the kind wanted, and what it tells. */
static void wait_once(struct request *request)
{
	int status = -1, number = request->number, options = request->options;
	pid_t child = number >= 0 ? children[number].pid : 0;
	struct rusage usage = { 0 };
	siginfo_t info = { 0 };
	pid_t pid;
	int by_id = -1;

	if (is(request->kind, "wait"))
		pid = wait3(&status, options, NULL);
	else if (is(request->kind, "plain"))
		pid = wait(&status);
	else if (is(request->kind, "waitpid"))
		pid = waitpid(child, &status, options);
	else if (is(request->kind, "any"))
		pid = waitpid(-1, &status, options);
	else if (is(request->kind, "group"))
		pid = waitpid(-child, &status, options);
	else if (is(request->kind, "own"))
		pid = waitpid(0, &status, options);
	else if (is(request->kind, "wait4"))
		pid = wait4(child, &status, options, &usage);
	else if (is(request->kind, "suspend")) {
		/* Not a wait for a child, but for the signal of any child's end. */
		sigset_t none;
		sigemptyset(&none);
		pid = sigsuspend(&none);
	} else if (is(request->kind, "raw"))
		pid = syscall(SYS_wait4, child, &status, options, NULL);
	else {
		pid = 0;
		if (is(request->kind, "waitid"))
			by_id = waitid(P_PID, child, &info, options | WEXITED);
		else if (is(request->kind, "all"))
			by_id = waitid(P_ALL, 0, &info, options | WEXITED);
		else if (is(request->kind, "pgid"))
			by_id = waitid(P_PGID, child, &info, options | WEXITED);
		else if (is(request->kind, "pidfd"))
			by_id = waitid(P_PIDFD, children[number].handle, &info, options | WEXITED);
		else
			BROKEN("no wait `%s`", request->kind);
		if (by_id == 0 && info.si_pid) {
			pid = info.si_pid;
			status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
			if (info.si_signo != SIGCHLD || info.si_uid != getuid() ||
			    (info.si_code != CLD_EXITED && info.si_code != CLD_KILLED))
				BROKEN("waitid: %d %d %d", info.si_signo, info.si_uid, info.si_code);
		} else if (by_id < 0) {
			pid = -1;
		}
	}
	if (pid < 0)
		strcpy(request->told, errno == ECHILD ? "ECHILD" : errno == EINTR ? "EINTR" : "error");
	else if (pid == 0)
		strcpy(request->told, "none");
	else
		tell_status(request, pid, status);
	if (pid > 0 && is(request->kind, "wait4") && usage.ru_maxrss == 0)
		strcat(request->told, " without usage");
}

static struct request parsed(const char *line)
{
	struct request request = { .number = -1 };
	char flag[16] = "";
	if (sscanf(line, "%*s %15s %d %15s", request.kind, &request.number, flag) < 1)
		BROKEN("what wait? %s", line);
	if (is(flag, "nohang"))
		request.options = WNOHANG;
	else if (is(flag, "nowait"))
		request.options = WNOWAIT;
	else if (is(flag, "stopped"))
		request.options = WNOHANG | WUNTRACED;
	return request;
}

static struct request blocked[MOST];
static int blocks;

static void *block(void *argument)
{
	struct request *request = argument;
	atomic_store(&request->tid, gettid());
	wait_once(request);
	atomic_store(&request->done, 1);
	return NULL;
}

/* Whether a thread has got to where it waits, in the kernel. */
static int sleeps(struct request *request)
{
	char path[64], text[64] = "";
	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", atomic_load(&request->tid));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	int call = length > 0 ? atoi(text) : 0;
	return call == SYS_wait4 || call == SYS_waitid || call == SYS_futex ||
	       call == SYS_rt_sigsuspend;
}

static void start_blocked(const char *line)
{
	struct request *request = &blocked[blocks];
	*request = parsed(line);
	request->thread = start(block, request);
	if (!LOOK(sleeps(request)))
		answer("err it does not begin");
	else
		answer("ok %d", blocks++);
}

static const char *next_command(void)
{
	const char *line;
	for (;;) {
		errno = 0;
		line = command();
		if (line || errno != EINTR)
			return line;
		clearerr(stdin);
	}
}

static void handle(int signal, int flags, void (*handler)(int), void (*informed)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_flags = flags };
	if (informed) {
		action.sa_sigaction = informed;
		action.sa_flags |= SA_SIGINFO;
	} else {
		action.sa_handler = handler;
	}
	sigaction(signal, &action, NULL);
}

static void exec_self(void)
{
	static char program[] = "/proc/self/exe";
	char numbers[MOST][32];
	char *arguments[MOST + 2] = { program };
	for (int number = 0; number < known; number++) {
		fcntl(children[number].orders, F_SETFD, 0);
		snprintf(numbers[number], sizeof numbers[number], "%d:%d:%d", children[number].pid,
			 children[number].orders, children[number].handle);
		fcntl(children[number].handle, F_SETFD, 0);
		arguments[number + 1] = numbers[number];
	}
	execv(program, arguments);
	answer("err exec: %s", strerror(errno));
}

int main(int count, char **arguments)
{
	for (int index = 1; index < count; index++, known++)
		sscanf(arguments[index], "%d:%d:%d", &children[known].pid, &children[known].orders,
		       &children[known].handle);
	if (known)
		answer("ok again");
	for (const char *line; (line = next_command());) {
		int number, value;
		if (is(line, "start"))
			start_child(0);
		else if (is(line, "start group"))
			start_child(1);
		else if (is(line, "start below"))
			start_grandchild();
		else if (sscanf(line, "end %d %d", &number, &value) == 2) {
			unsigned char order = value;
			if (write(children[number].orders, &order, 1) != 1)
				answer("err %s", strerror(errno));
			else
				answer("ok");
		} else if (strncmp(line, "wait ", 5) == 0) {
			struct request request = parsed(line);
			wait_once(&request);
			answer("ok %s", request.told);
		} else if (strncmp(line, "block ", 6) == 0)
			start_blocked(line);
		else if (is(line, "blocks"))
			answer("ok %d", blocks - 1);
		else if (sscanf(line, "blocked %d", &number) == 1)
			answer("ok %s", LOOK(blocked[number].done) ? blocked[number].told : "still");
		else if (sscanf(line, "state %d", &number) == 1)
			answer("ok %s", blocked[number].done ? blocked[number].told : "still");
		else if (sscanf(line, "cancel %d", &number) == 1) {
			void *outcome = NULL;
			pthread_cancel(blocked[number].thread);
			pthread_join(blocked[number].thread, &outcome);
			answer("ok %s", outcome == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
		} else if (sscanf(line, "interrupt %d", &number) == 1) {
			pthread_kill(blocked[number].thread, SIGUSR2);
			answer("ok");
		} else if (is(line, "handle child"))
			handle(SIGCHLD, SA_RESTART, NULL, on_child), answer("ok");
		else if (is(line, "handle child interrupting"))
			handle(SIGCHLD, 0, NULL, on_child), answer("ok");
		else if (is(line, "handle other"))
			handle(SIGUSR2, SA_RESTART, on_other, NULL), answer("ok");
		else if (is(line, "handle other interrupting"))
			handle(SIGUSR2, 0, on_other, NULL), answer("ok");
		else if (is(line, "ignore child"))
			handle(SIGCHLD, 0, SIG_IGN, NULL), answer("ok");
		else if (sscanf(line, "heard %d", &number) == 1) {
			LOOK(heard >= number);
			answer("ok %d of %d with %d", heard, number_of(heard_pid), heard_status);
		} else if (is(line, "heard code"))
			answer("ok %d", heard_code == CLD_EXITED ? 1 : heard_code);
		else if (is(line, "signalfd") || is(line, "mask child")) {
			sigset_t set;
			sigemptyset(&set);
			sigaddset(&set, SIGCHLD);
			sigprocmask(SIG_BLOCK, &set, NULL);
			if (is(line, "signalfd"))
				from_signals = signalfd(-1, &set, SFD_CLOEXEC);
			answer("ok");
		} else if (is(line, "read signalfd")) {
			struct signalfd_siginfo info;
			struct pollfd poll_it = { from_signals, POLLIN, 0 };
			if (poll(&poll_it, 1, 20000) == 1 &&
			    read(from_signals, &info, sizeof info) == sizeof info)
				answer("ok %d of %d", info.ssi_signo == SIGCHLD,
				       number_of(info.ssi_pid));
			else
				answer("err no signal");
		} else if (sscanf(line, "ready %d", &number) == 1) {
			/* What a runtime does: once the descriptor says so, it must be so. */
			struct pollfd poll_it = { children[number].handle, POLLIN, 0 };
			struct request request = { "waitpid", number, WNOHANG, "", 0, 0, 0 };
			if (poll(&poll_it, 1, 20000) != 1)
				answer("err not ready");
			answer("polled");
			wait_once(&request);
			answer("ok %s", request.told);
		} else if (is(line, "exec"))
			exec_self();
		else if (sscanf(line, "exit %d", &value) == 1)
			exit(value);
		else if (is(line, "descriptors")) {
			int open = 0;
			for (int fd = 0; fd < 1024; fd++)
				open += fcntl(fd, F_GETFD) >= 0;
			answer("ok %d", open);
		} else
			answer("err %s", line);
	}
	exit(0);
}
