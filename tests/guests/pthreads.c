/* Guest: everything that POSIX threads can do, one order a line. Four workers obey: `in K ORDER`
 * waits for the order's result, `begin K ORDER` doesn't, and `end K` waits for it later; the
 * main thread does an order alone. The answer is `ok RESULT` or
 * `err WHY`; a function's result is `0` or the name of its error. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, EXTRAS = 8, MUTEXES = 4, PATIENCE_SECONDS = 15 };

/* What every thread knows of itself: the main thread is -1, the extra ones 100 and up. */
static __thread int me = -1;
static __thread long tls_value = 11;

struct worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum { IDLE, ORDERED, BUSY, DONE } state;
    char order[128], answer[128];
};
static struct worker workers[WORKERS];

struct extra {
    pthread_t thread;
    sem_t released;
    char kind[16];
    long value;
};
static struct extra extras[EXTRAS];
static sem_t extra_runs, worker_runs;
static int never[2]; /* A pipe that nobody writes to. */

static struct {
    const char *name;
    int type, robust, protocol;
    pthread_mutex_t mutexes[MUTEXES];
} kinds[] = {
    {"normal", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, {{{0}}}},
    {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, {{{0}}}},
    {"recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, {{{0}}}},
    {"errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, {{{0}}}},
    {"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE, {{{0}}}},
    {"pi", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, {{{0}}}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_mutex_t permit_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t permit_given;
static int permits;
static sem_t semaphore, once_gate;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int once_runs, cleanups, destructors;
static pthread_key_t key;
static volatile long counter; /* Protected by the mutex that `count` is given. */

static atomic_int handled, handled_by, handled_value;

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    handled_by = me;
    handled_value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
    handled++;
}

static const char *name_of(int error) { return error == 0 ? "0" : strerrorname_np(error); }

static struct timespec after(long milliseconds) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_sec += milliseconds / 1000;
    now.tv_nsec += milliseconds % 1000 * 1000000;
    if (now.tv_nsec >= 1000000000) now.tv_sec++, now.tv_nsec -= 1000000000;
    return now;
}

static void run_once(void) {
    while (sem_wait(&once_gate) != 0) {}
    once_runs++;
}

static void count_cleanup(void *mutex) {
    cleanups++;
    if (mutex) pthread_mutex_unlock(mutex);
}

static void count_destructor(void *value) {
    (void)value;
    destructors++;
}

static pthread_mutex_t *mutex_of(const char *name);

/* Blocks as told, in a cancellation point, until it is released or cancelled. */
static void *run_extra(void *argument) {
    struct extra *self = argument;
    char byte;
    me = 100 + (int)(self - extras);
    pthread_setspecific(key, self);
    sem_post(&extra_runs);
    if (strcmp(self->kind, "cond") == 0) {
        pthread_mutex_lock(&permit_mutex);
        pthread_cleanup_push(count_cleanup, &permit_mutex);
        while (1) pthread_cond_wait(&permit_given, &permit_mutex);
        pthread_cleanup_pop(0);
    }
    /* Ends with a mutex that the kernel is to hand on. */
    int owns = strcmp(self->kind, "owner") == 0;
    if (owns) pthread_mutex_lock(mutex_of("robust0"));
    pthread_cleanup_push(count_cleanup, NULL);
    if (owns || strcmp(self->kind, "sem") == 0)
        while (sem_wait(&self->released) != 0) {}
    else if (strcmp(self->kind, "read") == 0)
        while (read(never[0], &byte, 1) != 1) {}
    else if (strcmp(self->kind, "pause") == 0)
        while (1) pause();
    else
        while (1) sleep(1000);
    pthread_cleanup_pop(0);
    return (void *)self->value;
}

static pthread_mutex_t *mutex_of(const char *name) {
    for (int kind = 0; kind < KINDS; kind++) {
        size_t length = strlen(kinds[kind].name);
        if (strncmp(name, kinds[kind].name, length) == 0) {
            int index = atoi(name + length);
            return &kinds[kind].mutexes[index % MUTEXES];
        }
    }
    return NULL;
}

static void burn(long milliseconds) {
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
}

static const char *about_mutex(const char *verb, const char *name, long number) {
    static __thread char text[32];
    pthread_mutex_t *mutex = mutex_of(name);
    if (!mutex) return NULL;
    if (strcmp(verb, "lock") == 0) return name_of(pthread_mutex_lock(mutex));
    if (strcmp(verb, "trylock") == 0) return name_of(pthread_mutex_trylock(mutex));
    if (strcmp(verb, "unlock") == 0) return name_of(pthread_mutex_unlock(mutex));
    if (strcmp(verb, "consistent") == 0) return name_of(pthread_mutex_consistent(mutex));
    if (strcmp(verb, "timedlock") == 0) {
        struct timespec until = after(number);
        return name_of(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until));
    }
    if (strcmp(verb, "count") != 0) return NULL;
    for (long round = 0; round < number; round++) {
        int error = pthread_mutex_lock(mutex);
        if (error) return name_of(error);
        long seen = counter;
        if (round % 64 == 0) sched_yield();
        counter = seen + 1;
        error = pthread_mutex_unlock(mutex);
        if (error) return name_of(error);
    }
    snprintf(text, sizeof text, "%ld", number);
    return text;
}

static const char *wait_for_permit(const char *milliseconds) {
    struct timespec until = after(milliseconds ? atol(milliseconds) : 0);
    int error = 0;
    pthread_mutex_lock(&permit_mutex);
    while (permits == 0 && error == 0)
        error = milliseconds ? pthread_cond_timedwait(&permit_given, &permit_mutex, &until)
                             : pthread_cond_wait(&permit_given, &permit_mutex);
    if (error == 0) permits--;
    pthread_mutex_unlock(&permit_mutex);
    return name_of(error);
}

static const char *wait_for_semaphore(const char *milliseconds) {
    struct timespec until = after(milliseconds ? atol(milliseconds) : 0);
    int result;
    do
        result = milliseconds ? sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until)
                              : sem_wait(&semaphore);
    while (result != 0 && errno == EINTR);
    return name_of(result == 0 ? 0 : errno);
}

/* What is asked of a worker's thread from outside, by its pthread_t. */
static const char *about_thread(const char *verb, int index, const char *argument) {
    static __thread char text[64];
    if (index < 0 || index >= WORKERS) return NULL;
    pthread_t thread = workers[index].thread;
    int error = 0;
    if (strcmp(verb, "kill") == 0 || strcmp(verb, "queue") == 0) {
        int before = handled;
        union sigval value = {.sival_int = argument ? atoi(argument) : 0};
        error = *verb == 'k' ? pthread_kill(thread, SIGUSR2) : pthread_sigqueue(thread, SIGUSR2, value);
        for (int glance = 0; !error && handled == before; glance++) {
            if (glance > PATIENCE_SECONDS * 1000) return "nobody";
            usleep(1000);
        }
        snprintf(text, sizeof text, "%d %d", (int)handled_by, (int)handled_value);
    } else if (strcmp(verb, "alive") == 0) {
        error = pthread_kill(thread, 0);
        strcpy(text, "yes");
    } else if (strcmp(verb, "set-name") == 0) {
        error = pthread_setname_np(thread, argument);
        strcpy(text, "0");
    } else if (strcmp(verb, "get-name") == 0) {
        error = pthread_getname_np(thread, text, sizeof text);
    } else if (strcmp(verb, "cpu-clock") == 0) {
        clockid_t clock;
        struct timespec time = {0, 0};
        error = pthread_getcpuclockid(thread, &clock);
        if (!error && clock_gettime(clock, &time) != 0) error = errno;
        snprintf(text, sizeof text, "%lld", time.tv_sec * 1000000000LL + time.tv_nsec);
    } else if (strcmp(verb, "affinity") == 0) {
        cpu_set_t set;
        error = pthread_getaffinity_np(thread, sizeof set, &set);
        snprintf(text, sizeof text, "%d", CPU_COUNT(&set));
    } else if (strcmp(verb, "pin") == 0) {
        /* To the first processor that this process may use, or to all of them. */
        cpu_set_t all, one;
        error = pthread_getaffinity_np(pthread_self(), sizeof all, &all);
        CPU_ZERO(&one);
        for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
            if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
        if (!error) error = pthread_setaffinity_np(thread, sizeof one, strcmp(argument, "one") ? &all : &one);
        strcpy(text, "0");
    } else if (strcmp(verb, "stack") == 0) {
        /* Whether what the worker has said to be its own, by `address`, lies in it. */
        pthread_attr_t attributes;
        void *lowest = NULL;
        size_t size = 0;
        error = pthread_getattr_np(thread, &attributes);
        if (!error) {
            pthread_attr_getstack(&attributes, &lowest, &size);
            pthread_attr_destroy(&attributes);
            uintptr_t inside = strtoull(argument, NULL, 16);
            uintptr_t low = (uintptr_t)lowest;
            strcpy(text, inside > low && inside < low + size ? "inside" : "outside");
        }
    } else if (strcmp(verb, "policy") == 0) {
        int policy = -1;
        struct sched_param parameter;
        error = pthread_getschedparam(thread, &policy, &parameter);
        strcpy(text, policy == SCHED_OTHER ? "other" : policy == SCHED_BATCH ? "batch" : "strange");
    } else if (strcmp(verb, "set-policy") == 0) {
        struct sched_param parameter = {0};
        error = pthread_setschedparam(thread, strcmp(argument, "batch") ? SCHED_OTHER : SCHED_BATCH, &parameter);
        strcpy(text, "0");
    } else {
        return NULL;
    }
    return error ? name_of(error) : text;
}

static const char *about_extra(const char *verb, int index, const char *kind, const char *value) {
    static __thread char text[32];
    if (index < 0 || index >= EXTRAS) return NULL;
    struct extra *extra = &extras[index];
    if (strcmp(verb, "spawn") == 0) {
        snprintf(extra->kind, sizeof extra->kind, "%s", kind);
        extra->value = value ? atol(value) : 0;
        sem_init(&extra->released, 0, 0);
        int error = pthread_create(&extra->thread, NULL, run_extra, extra);
        while (!error && sem_wait(&extra_runs) != 0) {}
        return name_of(error);
    }
    if (strcmp(verb, "release") == 0) return name_of(sem_post(&extra->released) ? errno : 0);
    if (strcmp(verb, "cancel") == 0) return name_of(pthread_cancel(extra->thread));
    void *result = NULL;
    int error;
    if (strcmp(verb, "try-join") == 0) error = pthread_tryjoin_np(extra->thread, &result);
    else if (strcmp(verb, "join") == 0) error = pthread_join(extra->thread, &result);
    else return NULL;
    if (error) return name_of(error);
    if (result == PTHREAD_CANCELED) return "cancelled";
    snprintf(text, sizeof text, "%ld", (long)result);
    return text;
}

/* What any thread can do for itself. */
static const char *about_me(const char *verb, const char *argument) {
    static __thread char text[64];
    long number = argument ? atol(argument) : 0;
    int error = 0;
    if (strcmp(verb, "ping") == 0) snprintf(text, sizeof text, "%d", me);
    else if (strcmp(verb, "barrier") == 0) {
        int result = pthread_barrier_wait(&barrier);
        return result == PTHREAD_BARRIER_SERIAL_THREAD ? "passed" : result ? name_of(result) : "passed";
    } else if (strcmp(verb, "read-lock") == 0) error = pthread_rwlock_rdlock(&rwlock), strcpy(text, "0");
    else if (strcmp(verb, "write-lock") == 0) error = pthread_rwlock_wrlock(&rwlock), strcpy(text, "0");
    else if (strcmp(verb, "try-write-lock") == 0) error = pthread_rwlock_trywrlock(&rwlock), strcpy(text, "0");
    else if (strcmp(verb, "rw-unlock") == 0) error = pthread_rwlock_unlock(&rwlock), strcpy(text, "0");
    else if (strcmp(verb, "spin") == 0) {
        error = pthread_spin_lock(&spin);
        if (!error) error = pthread_spin_unlock(&spin);
        strcpy(text, "0");
    } else if (strcmp(verb, "permit-wait") == 0) return wait_for_permit(argument);
    else if (strcmp(verb, "permits") == 0) {
        pthread_mutex_lock(&permit_mutex);
        permits += (int)number;
        pthread_cond_broadcast(&permit_given);
        snprintf(text, sizeof text, "%d", permits);
        pthread_mutex_unlock(&permit_mutex);
    } else if (strcmp(verb, "sem-wait") == 0) return wait_for_semaphore(argument);
    else if (strcmp(verb, "sem-post") == 0) return name_of(sem_post(&semaphore) ? errno : 0);
    else if (strcmp(verb, "once") == 0) {
        error = pthread_once(&once, run_once);
        snprintf(text, sizeof text, "%d", (int)once_runs);
    } else if (strcmp(verb, "once-open") == 0) return name_of(sem_post(&once_gate) ? errno : 0);
    else if (strcmp(verb, "once-runs") == 0) snprintf(text, sizeof text, "%d", (int)once_runs);
    else if (strcmp(verb, "tls") == 0) {
        if (argument) tls_value = number;
        snprintf(text, sizeof text, "%ld", tls_value);
    } else if (strcmp(verb, "key") == 0) {
        if (argument) error = pthread_setspecific(key, (void *)number);
        snprintf(text, sizeof text, "%ld", (long)pthread_getspecific(key));
    } else if (strcmp(verb, "my-name") == 0) error = pthread_getname_np(pthread_self(), text, sizeof text);
    else if (strcmp(verb, "burn") == 0) burn(number), strcpy(text, "0");
    else if (strcmp(verb, "address") == 0) snprintf(text, sizeof text, "%lx", (unsigned long)(uintptr_t)&error);
    else if (strcmp(verb, "raise") == 0) {
        error = raise(SIGUSR2) ? errno : 0;
        snprintf(text, sizeof text, "%d", (int)handled_by);
    } else if (strcmp(verb, "counter") == 0) snprintf(text, sizeof text, "%ld", counter);
    else if (strcmp(verb, "cleanups") == 0) snprintf(text, sizeof text, "%d", (int)cleanups);
    else if (strcmp(verb, "destructors") == 0) snprintf(text, sizeof text, "%d", (int)destructors);
    else if (strcmp(verb, "abort") == 0) abort();
    else if (strcmp(verb, "segv") == 0) *(volatile char *)8 = 1;
    else return NULL;
    return error ? name_of(error) : text;
}

/* One order, whoever does it; the order is taken apart. */
static void obey(char *order, char *answer, size_t size) {
    char *rest = order, *words[4] = {0};
    for (int index = 0; index < 4; index++) words[index] = strtok_r(rest, " \n", &rest);
    const char *result = NULL;
    if (words[0]) {
        int index = words[1] ? atoi(words[1]) : -1;
        if (words[1]) result = about_mutex(words[0], words[1], words[2] ? atol(words[2]) : 0);
        if (!result && words[1]) result = about_extra(words[0], index, words[2] ? words[2] : "sem", words[3]);
        if (!result) result = about_me(words[0], words[1]);
        if (!result && words[1]) result = about_thread(words[0], index, words[2] ? words[2] : "");
    }
    if (result) snprintf(answer, size, "ok %s", result);
    else snprintf(answer, size, "err there is no such order");
}

static void *work(void *argument) {
    struct worker *self = argument;
    me = (int)(self - workers);
    tls_value = 100 + me;
    sem_post(&worker_runs);
    pthread_mutex_lock(&self->mutex);
    while (1) {
        while (self->state != ORDERED) pthread_cond_wait(&self->changed, &self->mutex);
        if (strcmp(self->order, "leave") == 0) break;
        self->state = BUSY;
        pthread_mutex_unlock(&self->mutex);
        char answer[sizeof self->answer];
        obey(self->order, answer, sizeof answer);
        pthread_mutex_lock(&self->mutex);
        strcpy(self->answer, answer);
        self->state = DONE;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->mutex);
    return (void *)(long)(me + 1);
}

static int give(struct worker *worker, const char *order) {
    pthread_mutex_lock(&worker->mutex);
    int idle = worker->state == IDLE;
    if (idle) {
        snprintf(worker->order, sizeof worker->order, "%s", order);
        worker->state = ORDERED;
        pthread_cond_broadcast(&worker->changed);
    }
    pthread_mutex_unlock(&worker->mutex);
    if (!idle) puts("err it is at work");
    return idle;
}

static void await(struct worker *worker) {
    struct timespec until = after(PATIENCE_SECONDS * 1000);
    int error = 0;
    pthread_mutex_lock(&worker->mutex);
    while (worker->state != DONE && error == 0)
        error = pthread_cond_clockwait(&worker->changed, &worker->mutex, CLOCK_MONOTONIC, &until);
    if (error) {
        puts("err it is still at work");
    } else {
        puts(worker->answer);
        worker->state = IDLE;
    }
    pthread_mutex_unlock(&worker->mutex);
}

static void set_up(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, kinds[kind].type);
        pthread_mutexattr_setrobust(&attributes, kinds[kind].robust);
        pthread_mutexattr_setprotocol(&attributes, kinds[kind].protocol);
        for (int index = 0; index < MUTEXES; index++)
            pthread_mutex_init(&kinds[kind].mutexes[index], &attributes);
        pthread_mutexattr_destroy(&attributes);
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&permit_given, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_barrier_init(&barrier, NULL, WORKERS);
    pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
    sem_init(&semaphore, 0, 0);
    sem_init(&once_gate, 0, 0);
    sem_init(&extra_runs, 0, 0);
    sem_init(&worker_runs, 0, 0);
    pthread_key_create(&key, count_destructor);
    if (pipe(never) != 0) exit(70);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
    for (int index = 0; index < WORKERS; index++) {
        struct worker *worker = &workers[index];
        pthread_mutex_init(&worker->mutex, NULL);
        pthread_cond_init(&worker->changed, NULL);
        pthread_create(&worker->thread, NULL, work, worker);
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_up();
    /* Each knows who it is before anybody asks. */
    for (int worker = 0; worker < WORKERS; worker++) sem_wait(&worker_runs);
    puts("ready");
    char line[160], answer[160];
    while (fgets(line, sizeof line, stdin)) {
        int index, start = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "end %d", &index) == 1) {
            await(&workers[index % WORKERS]);
        } else if (sscanf(line, "begin %d %n", &index, &start) == 1 && start) {
            if (give(&workers[index % WORKERS], line + start)) puts("ok");
        } else if (sscanf(line, "in %d %n", &index, &start) == 1 && start) {
            struct worker *worker = &workers[index % WORKERS];
            if (give(worker, line + start)) await(worker);
        } else {
            obey(line, answer, sizeof answer);
            puts(answer);
        }
    }
    long sum = 0;
    for (int index = 0; index < WORKERS; index++) {
        void *value = NULL;
        if (give(&workers[index], "leave") && pthread_join(workers[index].thread, &value) == 0)
            sum += (long)value;
    }
    printf("end %ld %ld %d\n", sum, counter, (int)destructors);
    return 5;
}
