// Guest: a program in C that calls the library. `c_library SCENE` plays one scene and prints a line
// for each step; the same scenes run under the launcher and alone. Compiled with `snapshot.h`.

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot.h"

static int memory = 1;

// A snapshot whose branch ends by `end`. Says how it ended.
static void end_by(const char *what, void (*end)(void)) {
    struct snapshot_report report = {.size = sizeof report};
    if (snapshot_take(what, &report) == SNAPSHOT_LIVE) {
        printf("live %u ended %u in snapshot %d\n", (unsigned)report.id, (unsigned)report.ended,
               snapshot_is_in_snapshot());
        memory = 2;
        end();
    }
    printf("%s: id %u ended %u number %d memory %d size %d late %d\n", what, (unsigned)report.id,
           (unsigned)report.ended, (int)report.number, memory, report.size == sizeof report,
           report.latency_ns == 0);
}

static void by_revert(void) { printf("no revert: %d\n", snapshot_revert()); }
static void by_exit(void) { exit(3); }
static void by_abort(void) { abort(); }
static int deeper(int depth) {
    volatile char space[4096];
    space[0] = (char)depth;
    return depth < 0 ? 0 : deeper(depth + 1) + space[0];
}
static void by_overflow(void) { printf("%d\n", deeper(0)); }

static void ends(void) {
    end_by("revert", by_revert);
    end_by("exit", by_exit);
    end_by("abort", by_abort);
    end_by("overflow", by_overflow);
}

static void list(void) {
    uint32_t ids[3] = {0, 0, 0};
    int count = snapshot_list(ids, 3);
    printf("%d:", count);
    for (int at = 0; at < count && at < 3; at++) printf(" %u", (unsigned)ids[at]);
    printf(" depth %u\n", snapshot_depth());
}

static void describe(uint32_t id) {
    struct snapshot_taken taken = {.size = sizeof taken};
    int number = snapshot_describe(id, &taken);
    printf("describe %d: #%u '%s' '%s'\n", number, (unsigned)taken.id, taken.label, taken.context);
}

// Three snapshots: one is dropped, one is reverted to, and the rest is committed.
static void levels(void) {
    list();
    if (snapshot_take("first", NULL) == SNAPSHOT_REVERTED) {
        list();
        printf("commit %d\n", snapshot_commit());
        return;
    }
    snapshot_take_in_context("second", "4 commits", NULL);
    if (snapshot_take(NULL, NULL) == SNAPSHOT_REVERTED) {
        printf("back in the third, memory %d\n", memory);
        printf("drop %d\n", snapshot_drop(2));
        list();
        snapshot_revert_to(1);
    }
    list();
    describe(1);
    describe(2);
    describe(3);
    memory = 5;
    snapshot_revert_to(3);
}

struct wide {
    struct snapshot_report report;
    unsigned char more[8];
};

// The text's place is asked for before the call that fails, as C may order arguments.
static void say_error(const char *what, const char *text, int number) {
    printf("%s: %d: %s\n", what, number, text);
}

static void misuse(void) {
    const char *last = snapshot_last_error();
    say_error("revert", last, snapshot_revert());
    say_error("revert to 0", last, snapshot_revert_to(0));
    say_error("revert to 9", last, snapshot_revert_to(9));
    say_error("drop 0", last, snapshot_drop(0));
    say_error("drop 9", last, snapshot_drop(9));
    say_error("describe nowhere", last, snapshot_describe(1, NULL));
    say_error("list nowhere", last, snapshot_list(NULL, 1));
    printf("count: %d\n", snapshot_list(NULL, 0));
    struct snapshot_report report = {.size = 0};
    say_error("no size", last, snapshot_take(NULL, &report));
    struct snapshot_outcome outcome = {.size = 12};
    say_error("a wrong size", last, snapshot_attempt(NULL, NULL, 0, &outcome));
    say_error("no function", last, snapshot_attempt(NULL, NULL, 0, NULL));
    printf("no hook: %d %d %d\n", snapshot_on_snapshot(NULL, NULL, NULL),
           snapshot_on_revert(NULL, NULL, NULL), snapshot_on_commit(NULL, NULL));
    printf("remove: %d\n", snapshot_remove_hook(99));
    printf("texts: %s; %s; %s\n", snapshot_error_text(SNAPSHOT_ERROR_REFUSED),
           snapshot_error_text(0), snapshot_error_text(-99));
    // A program that is newer than this library.
    struct wide wide;
    memset(&wide, 0xff, sizeof wide);
    wide.report.size = sizeof wide;
    snapshot_take(NULL, &wide.report);
    printf("wide: id %u rest %d\n", (unsigned)wide.report.id, wide.more[0] + wide.more[7]);
    struct snapshot_phases phases = {.size = sizeof phases};
    snapshot_last_phases(&phases);
    printf("split took time: %d\n", phases.split_us > 0);
    pid_t child = fork();
    if (child == 0) {
        int number = snapshot_take(NULL, NULL);
        _exit(number == SNAPSHOT_ERROR_NOT_LIVE ? 42 : 43);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    printf("in a child: %d\n", WEXITSTATUS(status));
    snapshot_commit();
    printf("depth %u\n", snapshot_depth());
}

static void before(void *data) {
    printf("%s, in a hook: %d\n", (const char *)data, snapshot_take(NULL, NULL));
}

static void after(void *data) { printf("%s, memory %d\n", (const char *)data, memory); }

static void hooks(void) {
    uint64_t first = 0, second = 0, third = 0;
    snapshot_on_snapshot(before, "before", &first);
    snapshot_on_revert(after, "after, registered first", &second);
    snapshot_on_revert(after, "after, registered last", &third);
    printf("numbers %d\n", first > 0 && first < second && second < third);
    if (snapshot_take(NULL, NULL) == SNAPSHOT_LIVE) {
        memory = 2;
        snapshot_revert();
    }
    printf("remove %d %d\n", snapshot_remove_hook(first), snapshot_remove_hook(third));
    if (snapshot_take(NULL, NULL) == SNAPSHOT_LIVE) {
        snapshot_revert();
    }
    printf("end\n");
}

static void say(void *data) { printf("done: %s\n", (const char *)data); }

static void commits(void) {
    snapshot_on_commit(say, "at once");
    if (snapshot_take(NULL, NULL) == SNAPSHOT_LIVE) {
        printf("waits %d\n", snapshot_on_commit(say, "never"));
        snapshot_revert();
    }
    printf("depth %u\n", snapshot_depth());
    snapshot_take(NULL, NULL);
    printf("waits %d\n", snapshot_on_commit(say, "after the commit"));
    printf("commit %d\n", snapshot_commit());
}

static void tried(int number, const struct snapshot_outcome *outcome) {
    size_t length = strlen(outcome->text);
    printf("%d: cause %d error %d ended %u number %d memory %d depth %u %.30s (%zu) %d\n", number,
           (int)outcome->cause, (int)outcome->error, (unsigned)outcome->ended,
           (int)outcome->number, memory, snapshot_depth(), outcome->text, length,
           strncmp(snapshot_last_error(), outcome->text, length) == 0);
}

static int succeed(void *data) {
    memory = *(int *)data;
    return 0;
}

static int fail(void *data) {
    memory = 9;
    return *(int *)data;
}

static int explain(void *data) {
    char long_reason[1000];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = 0;
    snapshot_set_reason(*(int *)data ? "2 accounts are empty" : long_reason);
    return -7;
}

static int leave(void *data) { exit(*(int *)data); }

static int crash(void *data) {
    memory = *(int *)data;
    raise(SIGSEGV);
    return 0;
}

static int drop_and_fail(void *data) {
    snapshot_commit();
    return fail(data);
}

static int nest(void *data) {
    struct snapshot_outcome outcome = {.size = sizeof outcome};
    memory = 20;
    int number = snapshot_attempt(fail, data, 0, &outcome);
    tried(number, &outcome);
    return number;
}

static void attempt(int (*f)(void *), int number, uint64_t deadline_ms) {
    struct snapshot_outcome outcome = {.size = sizeof outcome};
    int result = snapshot_attempt(f, &number, deadline_ms, &outcome);
    tried(result, &outcome);
}

static void attempts(void) {
    attempt(succeed, 4, 0);
    attempt(succeed, 5, UINT64_MAX);
    attempt(fail, 12, 0);
    attempt(fail, -12, 10000);
    attempt(explain, 1, 0);
    attempt(explain, 0, 0);
    attempt(leave, 6, 0);
    attempt(crash, 6, 0);
    attempt(nest, 8, 0);
    attempt(drop_and_fail, 13, 0);
}

static void *work(void *data) {
    attempt(fail, 3, 0);
    attempt(crash, 4, 0);
    attempt(succeed, 5, 0);
    return data;
}

// Any thread may call.
static void thread(void) {
    pthread_t other;
    pthread_create(&other, NULL, work, NULL);
    pthread_join(other, NULL);
    printf("here: memory %d '%s'\n", memory, snapshot_last_error());
}

// What a branch that begins here draws. It has one word to leave.
static long drawn_in_branch(void) {
    struct snapshot_report report = {.size = sizeof report};
    if (snapshot_take(NULL, &report) == SNAPSHOT_LIVE) {
        char number[32];
        snprintf(number, sizeof number, "%d", rand());
        snapshot_revert_with(report.id, number);
    }
    return atol(snapshot_reason(report.id));
}

// Two branches draw the same numbers, and different ones where that is asked for.
static void secrets(void) {
    uint32_t count = 9;
    // C may look at the arguments of a call in any order, so each is asked for before.
    int number = snapshot_reverts(&count);
    printf("reverts %d: %u\n", number, (unsigned)count);
    srand(1);
    int first = rand();
    srand(1);
    number = snapshot_reseed();
    printf("reseed %d, as before: %d\n", number, rand() == first);
    printf("the same: %d\n", drawn_in_branch() == drawn_in_branch());
    printf("reseeds %d\n", snapshot_reseeds(true));
    printf("the same: %d\n", drawn_in_branch() == drawn_in_branch());
    printf("reseeds %d\n", snapshot_reseeds(false));
    printf("the same: %d\n", drawn_in_branch() == drawn_in_branch());
    number = snapshot_reverts(&count);
    printf("reverts %d: %u\n", number, (unsigned)count);
    printf("nowhere: %d\n", snapshot_reverts(NULL));
}

// A branch that is no function's has a deadline.
static void deadlines(void) {
    struct snapshot_report report = {.size = sizeof report};
    uint64_t first = 0, second = 0;
    if (snapshot_take(NULL, &report) == SNAPSHOT_LIVE) {
        memory = 2;
        snapshot_revert_after(report.id, 3600000, "never", &first);
        snapshot_revert_after(report.id, 50, "it took too long", &second);
        printf("numbers %d\n", first > 0 && second > first);
        for (;;) pause();
    }
    printf("%s, memory %d\n", snapshot_reason(report.id), memory);
    if (snapshot_take(NULL, &report) == SNAPSHOT_LIVE) {
        memory = 3;
        printf("begin %d\n", snapshot_revert_after(report.id, 3600000, NULL, &first));
        printf("end %d, again %d\n", snapshot_end_deadline(first), snapshot_end_deadline(first));
        printf("nowhere: %d\n", snapshot_revert_after(report.id, 1, NULL, NULL));
        snapshot_commit();
    }
    printf("memory %d\n", memory);
}

static int tried_in_a_thread = -1;

static void *in_a_thread(void *wanted) {
    tried_in_a_thread = *(int *)wanted;
    return NULL;
}

// Each way to end, and whether what an earlier copy has done is seen.
static void try_one(size_t i, void *data) {
    if (memory != 1 || data != &memory) _exit(77);
    memory = 2;
    switch (i) {
    case 1: exit(3);
    case 2: abort();
    case 3: deeper(0); break;
    case 4: {
        pthread_t thread;
        int wanted = 5;
        pthread_create(&thread, NULL, in_a_thread, &wanted);
        pthread_join(thread, NULL);
        _exit(tried_in_a_thread);
    }
    default: break;
    }
}

static void tries(void) {
    struct snapshot_end ends[6] = {{0, 0}};
    int count = snapshot_try_each(try_one, &memory, 6, ends);
    printf("tried %d '%s'\n", count, snapshot_last_error());
    for (int at = 0; at < count; at++)
        printf("%d: ended %u number %d\n", at, (unsigned)ends[at].ended, (int)ends[at].number);
    printf("no ends: %d\n", snapshot_try_each(try_one, &memory, 2, NULL));
    printf("none: %d\n", snapshot_try_each(try_one, &memory, 0, NULL));
    printf("no function: %d\n", snapshot_try_each(NULL, NULL, 1, NULL));
    printf("memory %d depth %u\n", memory, snapshot_depth());
}

static void print_input(const uint8_t *input, size_t bytes, void *data) {
    printf("%d: '%.*s'\n", data == &memory, (int)bytes, (const char *)input);
}

// Without afl-fuzz: once, with what is on stdin, which is empty.
static void inputs(void) {
    printf("inputs %d\n", snapshot_persistent(print_input, &memory));
    printf("no function: %d\n", snapshot_persistent(NULL, NULL));
    printf("no mark: %d\n", snapshot_persistent_marked(print_input, NULL, NULL));
    printf("another mark: %d %s\n", snapshot_persistent_marked(print_input, NULL, "mark"),
           snapshot_last_error());
}

int main(int count, char **words) {
    static const struct {
        const char *name;
        void (*play)(void);
    } scenes[] = {
        {"ends", ends},       {"levels", levels},     {"misuse", misuse}, {"hooks", hooks},
        {"commits", commits}, {"attempts", attempts}, {"thread", thread}, {"secrets", secrets},
        {"deadlines", deadlines}, {"tries", tries},   {"inputs", inputs},
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t at = 0; at < sizeof scenes / sizeof *scenes; at++) {
        if (count == 2 && strcmp(words[1], scenes[at].name) == 0) {
            scenes[at].play();
            return 0;
        }
    }
    fprintf(stderr, "there is no such scene\n");
    return 2;
}
