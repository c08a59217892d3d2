/* Guest: tells what it sees of its own surroundings, and does what reaches beyond it: what the
 * tool leaves there shows. */
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
	int kept = 0;
	answer("ready");
	for (const char *line; (line = command());) {
		if (is(line, "ids")) {
			answer("ok %d %d", getpgrp(), getsid(0));
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
