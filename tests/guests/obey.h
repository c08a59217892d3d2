/* The shared part of the guests in C: a command a line on stdin, an answer a line on stdout,
 * and an end with a message after a failed check. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Ends the program with the status that the tests know as broken. */
#define BROKEN(...) (fprintf(stderr, "broken: " __VA_ARGS__), fputc('\n', stderr), _exit(70))

static inline void answer(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

/* The next command, or NULL at the end of stdin. */
static inline const char *command(void)
{
	static char line[256];
	if (!fgets(line, sizeof line, stdin))
		return NULL;
	line[strcspn(line, "\n")] = 0;
	return line;
}

static inline int is(const char *line, const char *name)
{
	return strcmp(line, name) == 0;
}

static inline void nap_ms(long milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* Waits for a condition. Counts looks and not time, so that time spent frozen does not count. */
#define LOOK(condition)                                  \
	({                                               \
		int looks_ = 0;                          \
		while (!(condition) && ++looks_ < 1600)  \
			nap_ms(5);                       \
		looks_ < 1600;                           \
	})

/* How often each thread has got on. */
#define MOST_THREADS 16
static atomic_ulong counts[MOST_THREADS];

/* Waits until the first `threads` of them have got on, and answers. */
static inline void advance(int threads)
{
	for (int number = 0; number < threads; number++) {
		unsigned long before = counts[number];
		if (!LOOK(counts[number] > before)) {
			answer("err thread %d stands still", number);
			return;
		}
	}
	answer("ok %d", threads);
}

static inline pthread_t start(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, body, argument);
	if (error)
		BROKEN("pthread_create: %s", strerror(error));
	return thread;
}
