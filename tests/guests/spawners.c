/* Guest: threads that start children as fast as they can, by vfork and by posix_spawn, and
 * check how each has ended. */
#include <spawn.h>

#define THREADS 4
extern char **environ;

static int status_of(pid_t child)
{
	int status;
	pid_t ended;
	while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
		;
	if (ended != child || !WIFEXITED(status))
		BROKEN("child %d: %s, status %x", child, strerror(errno), status);
	return WEXITSTATUS(status);
}

static void *fork_children(void *argument)
{
	long number = (long)argument;
	for (unsigned round = 0;; round++) {
		int wanted = round % 200;
		pid_t child = vfork();
		if (child == 0)
			_exit(wanted);
		int status = status_of(child);
		if (status != wanted)
			BROKEN("vfork's child ended with %d, not %d", status, wanted);
		counts[number]++;
	}
	return NULL;
}

static void *spawn_children(void *argument)
{
	long number = (long)argument;
	for (unsigned round = 0;; round++) {
		int wanted = round % 2;
		char *words[] = { wanted ? "false" : "true", NULL };
		pid_t child;
		int error = posix_spawnp(&child, words[0], NULL, NULL, words, environ);
		if (error)
			BROKEN("posix_spawn: %s", strerror(error));
		int status = status_of(child);
		if (status != wanted)
			BROKEN("%s ended with %d", words[0], status);
		counts[number]++;
	}
	return NULL;
}

int main(void)
{
	for (long number = 0; number < THREADS; number++)
		start(number % 2 ? spawn_children : fork_children, (void *)number);
	for (const char *line; (line = command());)
		if (is(line, "advance"))
			advance(THREADS);
		else
			answer("err %s", line);
	exit(0);
}
