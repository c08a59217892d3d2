// A target for afl-fuzz: what takes long is set up once, and a worker thread does the work. Each input
// finds the table as it was filled, and the thread waiting. An input with two `=` crashes.
//
//     afl-clang-fast -o fuzz fuzz.c $(pkg-config --cflags --libs snapshot)
#include <pthread.h>
#include <snapshot.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned table[16 << 20]; // 64 MB, filled before the first input

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const uint8_t *queued;
static size_t queued_bytes;

static void parse(const uint8_t *input, size_t bytes) {
    int values = 0;
    for (size_t i = 0; i < bytes; i++) {
        table[input[i]]++;
        if (input[i] == '=' && ++values > 1) abort();
    }
}

static void *work(void *nothing) {
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!queued) pthread_cond_wait(&changed, &lock);
        parse(queued, queued_bytes);
        queued = NULL;
        pthread_cond_broadcast(&changed);
    }
    return nothing;
}

static void run(const uint8_t *input, size_t bytes, void *data) {
    (void)data;
    pthread_mutex_lock(&lock);
    queued = input;
    queued_bytes = bytes;
    pthread_cond_broadcast(&changed);
    while (queued) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

int main(void) {
    pthread_t thread;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) table[i] = (unsigned)i;
    if (pthread_create(&thread, NULL, work, NULL) != 0) return 1;
    if (snapshot_persistent(run, NULL) != 0) {
        fprintf(stderr, "%s\n", snapshot_last_error());
        return 1;
    }
    return 0;
}
