/* Guest: `start` begins a chain of processes that each write a byte to the file `chain`, make the
 * next one and end. So none of them lives long enough to be found where it was seen. */
#include <fcntl.h>

static void run_on(void)
{
	for (;;) {
		int file = open("chain", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (file < 0 || write(file, "x", 1) != 1)
			BROKEN("chain: %s", strerror(errno));
		pid_t next = fork();
		if (next < 0)
			BROKEN("fork: %s", strerror(errno));
		if (next > 0)
			_exit(0);
		close(file);
	}
}

int main(void)
{
	const char *line;
	answer("ready %d", getpid());
	while ((line = command())) {
		if (is(line, "start") && fork() == 0)
			run_on();
		answer("ok");
	}
	return 0;
}
