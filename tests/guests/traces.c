/* Guest: prints what it sees of its own surroundings, and acts on things outside of it: so the
 * tool's traces show. */
#include <fcntl.h>
#include <sys/prctl.h>

static volatile sig_atomic_t seen;

static void note(int signal)
{
	(void)signal;
	seen++;
}

static int number_of(const char *name)
{
	static const struct { const char *name; int number; } names[] = {
		{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "TERM", SIGTERM }, { "HUP", SIGHUP },
		{ "KILL", SIGKILL }, { "INT", SIGINT }, { "PIPE", SIGPIPE }, { "QUIT", SIGQUIT },
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (is(names[i].name, name))
			return names[i].number;
	BROKEN("no signal %s", name);
}

int main(void)
{
	int kept = 0, terminal = -1;
	answer("ready");
	for (const char *line; (line = command());) {
		if (is(line, "ids")) {
			answer("ok %d %d", getpgrp(), getsid(0));
		} else if (is(line, "lead")) {
			/* A session with a terminal of its own, as a terminal emulator makes for a shell. */
			int master = posix_openpt(O_RDWR | O_NOCTTY);
			if (master < 0 || grantpt(master) || unlockpt(master) || setsid() < 0)
				BROKEN("no terminal: %s", strerror(errno));
			terminal = open(ptsname(master), O_RDWR);
			if (tcsetpgrp(terminal, getpid()))
				BROKEN("not in front: %s", strerror(errno));
			answer("ok");
		} else if (is(line, "forget terminal")) {
			close(terminal);
			answer("ok");
		} else if (is(line, "terminal")) {
			int own = open("/dev/tty", O_RDWR | O_NOCTTY);
			answer("ok %d %d", own >= 0, own >= 0 && tcgetpgrp(own) == getpid());
			close(own);
		} else if (is(line, "give up rights")) {
			/* What sudo, su and servers do for their children. */
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
			struct { unsigned version; int pid; } header = { 0x20080522, 0 };
			unsigned none[6] = { 0 };
			answer("ok %ld", syscall(SYS_capset, &header, none));
		} else if (is(line, "front")) {
			answer("ok %d", tcgetpgrp(0));
		} else if (is(line, "death signal")) {
			int signal = -1;
			prctl(PR_GET_PDEATHSIG, &signal);
			answer("ok %d", signal);
		} else if (strncmp(line, "disposition ", 12) == 0) {
			struct sigaction now;
			sigaction(number_of(line + 12), NULL, &now);
			answer("ok %s", now.sa_handler == SIG_IGN ? "ignored"
					: now.sa_handler == SIG_DFL ? "default" : "handled");
		} else if (strncmp(line, "handle ", 7) == 0) {
			signal(number_of(line + 7), note);
			answer("ok");
		} else if (strncmp(line, "group ", 6) == 0) {
			/* To all that are in its group, itself among them. */
			kill(0, number_of(line + 6));
			answer("ok");
		} else if (is(line, "seen")) {
			answer("ok %d", (int)seen);
		} else if (is(line, "own group")) {
			answer("ok %d", setpgid(0, 0) == 0 ? getpgrp() == getpid() : -errno);
		} else if (is(line, "child")) {
			/* It stays in the group, until it is ended. */
			pid_t child = fork();
			if (child == 0)
				for (;;)
					pause();
			answer("ok %d", child);
		} else if (strncmp(line, "end ", 4) == 0) {
			pid_t child = atoi(line + 4);
			kill(child, SIGKILL);
			answer("ok %d", waitpid(child, NULL, 0) == child);
		} else if (strncmp(line, "open ", 5) == 0) {
			answer("ok %d", fcntl(atoi(line + 5), F_GETFD) >= 0);
		} else if (strncmp(line, "read ", 5) == 0) {
			char text[64] = "";
			ssize_t length = read(atoi(line + 5), text, sizeof text - 1);
			answer("ok %.*s", length > 0 ? (int)strcspn(text, "\n") : 0, text);
		} else if (strncmp(line, "close ", 6) == 0) {
			/* The answer goes to stdout, which may be what is closed. */
			int fd = atoi(line + 6);
			if (fd != 1)
				answer("ok");
			close(fd);
		} else if (strncmp(line, "keep ", 5) == 0) {
			kept = atoi(line + 5);
			answer("ok");
		} else if (is(line, "kept")) {
			answer("ok %d", kept);
		} else {
			answer("err %s", line);
		}
	}
	return 0;
}
