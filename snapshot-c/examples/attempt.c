// A function as a transaction: what fails, crashes or hangs in it has never been.
//
//     cc -o attempt attempt.c $(pkg-config --cflags --libs snapshot)
//
// Runs alone, and under `snapshot-launch`, where files are undone too.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

static int accounts[2] = {100, 0};

struct transfer {
    int amount;
};

// Moves money, and only then finds out that there is not enough: 0 to commit, else an error.
static int transfer(void *data) {
    const struct transfer *wanted = data;
    accounts[0] -= wanted->amount;
    accounts[1] += wanted->amount;
    if (accounts[0] < 0) {
        snapshot_set_reason("there is not enough money");
        return 7;
    }
    return 0;
}

static int crash(void *data) {
    memset(accounts, 0, sizeof accounts);
    (void)data;
    abort();
}

static int hang(void *data) {
    accounts[0] = -1;
    for (volatile int *goes_on = data; *goes_on;) {
    }
    return 0;
}

static void try(const char *what, int (*f)(void *), void *data, uint64_t deadline_ms) {
    struct snapshot_outcome outcome = {.size = sizeof outcome};
    int number = snapshot_attempt(f, data, deadline_ms, &outcome);
    if (number < 0) {
        printf("%s: not possible: %s\n", what, snapshot_last_error());
        exit(EXIT_FAILURE);
    }
    const char *how = number == SNAPSHOT_COMMITTED ? "committed" : "undone: ";
    printf("%s: %s%s. accounts %d and %d\n", what, how, outcome.text, accounts[0], accounts[1]);
}

int main(void) {
    struct transfer small = {30}, large = {300};
    int forever = 1;
    try("transfer 30", transfer, &small, 0);
    try("transfer 300", transfer, &large, 0);
    try("crash", crash, NULL, 0);
    try("hang", hang, &forever, 50);

    // The same by hand.
    struct snapshot_report report = {.size = sizeof report};
    switch (snapshot_take("by hand", &report)) {
    case SNAPSHOT_LIVE:
        accounts[1] = 1000000;
        snapshot_revert();
        break;
    case SNAPSHOT_REVERTED:
        printf("by hand: back in snapshot %u. accounts %d and %d\n", (unsigned)report.id,
               accounts[0], accounts[1]);
        return EXIT_SUCCESS;
    }
    printf("by hand: not possible: %s\n", snapshot_last_error());
    return EXIT_FAILURE;
}
