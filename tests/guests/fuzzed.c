// Guest: a target of afl-fuzz with state that AFL++'s own fork server loses. Worker threads take each
// input from a queue, and say that it is done by an eventfd in an epoll set. A timer runs, a file stands
// at an offset, and memory was warmed up. Each run checks all of it, and changes what it can.
//
// `fuzzed SERVER WORKERS MEGABYTES KEPT`: SERVER is `ours` (snapshot_persistent) or `afl` (__AFL_INIT). With
// 0 workers the main thread does the work. KEPT says what each run checks beside the memory and the
// threads: `f` the file's offset, `t` the timer.
//
// Input that begins with "BUG" crashes; with "HA" it hangs. A failed check is a crash, too: afl-fuzz takes
// an exit with any status for a good end.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "snapshot.h"

#ifdef __AFL_COMPILER
__AFL_FUZZ_INIT();
#endif

#define CHECK(condition)                                                                               \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition, strerror(errno));     \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

enum { MARK = 7, OFFSET = 5 };

static int set, done, file;
static uint64_t *warm;
static size_t warm_words, workers;
static int has_file, has_timer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static const uint8_t *queued;
static size_t queued_bytes, runs;

// What is fuzzed. Each step on the way to the bug is a branch of its own.
static void look_at(const uint8_t *input, size_t bytes) {
    if (warm_words) {
        size_t at = (bytes ? input[0] : 0) * (warm_words / 256);
        CHECK(warm[at] == MARK);
        warm[at] = 0;
    }
    if (bytes > 1 && input[0] == 'H' && input[1] == 'A')
        for (;;) pause();
    if (bytes > 0 && input[0] == 'B')
        if (bytes > 1 && input[1] == 'U')
            if (bytes > 2 && input[2] == 'G')
                abort();
}

static void *work(void *nothing) {
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!queued) pthread_cond_wait(&filled, &lock);
        const uint8_t *input = queued;
        queued = NULL;
        pthread_mutex_unlock(&lock);
        look_at(input, queued_bytes);
        uint64_t one = 1;
        CHECK(write(done, &one, sizeof one) == sizeof one);
        pthread_mutex_lock(&lock);
    }
    return nothing;
}

static void run(const uint8_t *input, size_t bytes, void *data) {
    CHECK(data == &runs);
    CHECK(++runs == 1);
    if (has_file) {
        char letter;
        CHECK(read(file, &letter, 1) == 1 && letter == 'f');
    }
    if (has_timer) {
        struct itimerval timer;
        CHECK(getitimer(ITIMER_REAL, &timer) == 0 && timer.it_interval.tv_sec == 1000);
        CHECK(timer.it_value.tv_sec > 0);
    }
    if (!workers) {
        look_at(input, bytes);
        return;
    }
    struct epoll_event ready;
    // What an earlier run has written is not there.
    CHECK(epoll_wait(set, &ready, 1, 0) == 0);
    pthread_mutex_lock(&lock);
    queued = input;
    queued_bytes = bytes;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&lock);
    int count;
    do count = epoll_wait(set, &ready, 1, -1);
    while (count < 0 && errno == EINTR);
    CHECK(count == 1 && ready.data.u32 == MARK);
}

static void open_file(void) {
    char name[] = "fuzzed-XXXXXX";
    file = mkstemp(name);
    CHECK(file >= 0 && unlink(name) == 0);
    CHECK(write(file, "abcdefgh", 8) == 8 && lseek(file, OFFSET, SEEK_SET) == OFFSET);
}

static void start_timer(void) {
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    struct itimerval timer = {.it_interval.tv_sec = 1000, .it_value.tv_sec = 1000};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void start_workers(void) {
    set = epoll_create1(0);
    done = eventfd(0, 0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = MARK};
    CHECK(set >= 0 && done >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, done, &wanted) == 0);
    for (size_t worker = 0; worker < workers; worker++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    }
}

static void warm_up(size_t megabytes) {
    warm_words = megabytes << 17;
    if (warm_words) {
        CHECK((warm = malloc(warm_words * sizeof *warm)) != NULL);
        for (size_t at = 0; at < warm_words; at++) warm[at] = MARK;
    }
}

int main(int count, char **words) {
    CHECK(count == 5);
    workers = strtoul(words[2], NULL, 10);
    has_file = strchr(words[4], 'f') != NULL;
    has_timer = strchr(words[4], 't') != NULL;
    warm_up(strtoul(words[3], NULL, 10));
    if (has_file) open_file();
    if (has_timer) start_timer();
    if (workers) start_workers();
    if (strcmp(words[1], "ours") == 0) {
        int failed = snapshot_persistent(run, &runs);
        if (failed) fprintf(stderr, "%s\n", snapshot_last_error());
        return failed != 0;
    }
#ifdef __AFL_COMPILER
    __AFL_INIT();
    run(__AFL_FUZZ_TESTCASE_BUF, (size_t)__AFL_FUZZ_TESTCASE_LEN, &runs);
    _exit(0);
#endif
    fprintf(stderr, "this server is not there: %s\n", words[1]);
    return 2;
}
