/* Guest: its main thread has ended, and others go on. One of them obeys commands. */
#include <fcntl.h>

#define THREADS 3

static void *count(void *argument)
{
	for (;;) {
		counts[(long)argument]++;
		nap_ms(1);
	}
	return NULL;
}

static void *obey(void *unused)
{
	char memory[64] = "-", former[64];
	/* The kernel shows the main thread as a zombie when it is gone. */
	char path[64], state = 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
	int gone = LOOK(({
		FILE *file = fopen(path, "r");
		if (file) {
			fscanf(file, "%*d (%*[^)]) %c", &state);
			fclose(file);
		}
		state == 'Z';
	}));
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(open("locked", O_RDWR | O_CREAT, 0600), F_SETLK, &lock))
		BROKEN("lock: %s", strerror(errno));
	answer(gone ? "leaderless" : "err the main thread is still there");
	for (const char *line; (line = command());) {
		if (is(line, "advance")) {
			advance(THREADS);
		} else if (strncmp(line, "set ", 4) == 0) {
			strcpy(former, memory);
			snprintf(memory, sizeof memory, "%.60s", line + 4);
			answer("ok %s", former);
		} else if (is(line, "exit")) {
			break;
		} else {
			answer("err %s", line);
		}
	}
	exit(5);
	return unused;
}

int main(void)
{
	for (long number = 0; number < THREADS; number++)
		start(count, (void *)number);
	start(obey, NULL);
	pthread_exit(NULL);
}
