// Snapshots of the calling process: take one, do anything, and go on from it.
//
//     switch (snapshot_take("before the merge", NULL)) {
//     case SNAPSHOT_LIVE:     printf("now for the risky part\n"); break;
//     case SNAPSHOT_REVERTED: printf("back again\n"); break;
//     default:                printf("no snapshot: %s\n", snapshot_last_error());
//     }
//
// A function that returns `int` returns 0 or more, or one of the SNAPSHOT_ERROR_*, which are below
// 0. All may be called from any thread, and none in a signal handler.
//
// How it grows: numbers keep their meaning, functions stay, and structures get new fields at their
// end. So each structure begins with its size, which the program sets:
//
//     struct snapshot_report report = {sizeof report};
//
// An older library sets the fields that it doesn't know to 0; a newer one leaves alone what the
// program doesn't know.
//
// Made by cbindgen from the library's source. Don't edit it.

#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
// `afl-fuzz` looks for this text in the program's file. It then tells AFL++'s runtime to start no fork
// server before `main`.
#define SNAPSHOT_AFL_MARK "##SIG_AFL_DEFER_FORKSRV##"

// int snapshot_persistent(void (*f)(const uint8_t *input, size_t bytes, void *data), void *data)
//
// Calls `f(input, bytes, data)`, the program's part that is to be fuzzed. Under `afl-fuzz` each input is
// run in a fresh copy of the program as it is at this call, with all threads, timers, sets of events and
// file offsets. So what was set up before is done once, and no run sees what another has done. Without
// `afl-fuzz` it runs once, with what is on stdin.
//
// It returns 0 when there is no further input, or an error: the program can't be stopped or copied, stdin
// can't be read, or it runs in a session. A copy ends with status 0 when `f` returns.
//
// `afl-cc` builds the program, as usual; it needs no `__AFL_INIT` and no `__AFL_LOOP`.
#define snapshot_persistent(f, data) snapshot_persistent_marked((f), (data), SNAPSHOT_AFL_MARK)

// There is no snapshot with that number, or none at all.
#define SNAPSHOT_ERROR_NO_SUCH_SNAPSHOT -1

// The launcher refused; it has said why on stderr and in its events.
#define SNAPSHOT_ERROR_REFUSED -2

// The program has forked this process; it is not the live process.
#define SNAPSHOT_ERROR_NOT_LIVE -3

// It was called in a hook. What hooks do belongs to the take or the revert under way.
#define SNAPSHOT_ERROR_IN_HOOK -4

// It was called in a signal handler that has interrupted the library in the same thread.
#define SNAPSHOT_ERROR_BUSY -5

// A thread could not be stopped.
#define SNAPSHOT_ERROR_THREAD -6

// There are too many threads.
#define SNAPSHOT_ERROR_TOO_MANY_THREADS -7

// Threads can't be made again with this libc.
#define SNAPSHOT_ERROR_LIBC -8

// The kernel refused something; errno says why.
#define SNAPSHOT_ERROR_SYSTEM -9

// A pointer is null where it must not be, or a structure's size is wrong.
#define SNAPSHOT_ERROR_ARGUMENT -10

// A defect in the library.
#define SNAPSHOT_ERROR_DEFECT -11

// The program runs in a session, which keeps its copies itself.
#define SNAPSHOT_ERROR_IN_SESSION -12

// How many bytes each text in a structure has, with its NUL. A longer text is cut.
#define SNAPSHOT_TEXT_BYTES 256

// No branch has ended: the snapshot was just taken.
#define SNAPSHOT_ENDED_NOT 0

// The process exited; `number` is its status.
#define SNAPSHOT_ENDED_EXITED 1

// A signal killed the process; `number` is the signal.
#define SNAPSHOT_ENDED_KILLED 2

// The program, or a second terminal, asked to revert.
#define SNAPSHOT_ENDED_REVERTED 3

// Ctrl+C.
#define SNAPSHOT_ENDED_INTERRUPTED 4

// The program runs under a launcher, which keeps its snapshots.
#define SNAPSHOT_SESSION 1

// The program runs alone: its pid changes with every take, and files are not rolled back.
#define SNAPSHOT_ALONE 2

// The snapshot was taken, and this is the live process.
#define SNAPSHOT_LIVE 1

// The program is back in the snapshot: the branch that followed it has ended.
#define SNAPSHOT_REVERTED 2

// What the function did stays.
#define SNAPSHOT_COMMITTED 0

// It returned a number that is not 0.
#define SNAPSHOT_FAILED 1

// It took longer than it had time.
#define SNAPSHOT_DEADLINE 2

// The process ended, or somebody else has reverted it: a crash, a kill, an exit, Ctrl+C.
#define SNAPSHOT_ENDED 3

// Code in Rust below it panicked.
#define SNAPSHOT_PANICKED 4

// What is known of a snapshot when `snapshot_take` returns.
struct snapshot_report {
    // Set it to `sizeof(struct snapshot_report)` before the call.
    uint32_t size;
    // The snapshot's number.
    uint32_t id;
    // How the branch before has ended: one of the `SNAPSHOT_ENDED_*`.
    uint32_t ended;
    // The exit status or the signal; else 0.
    int32_t number;
    // The time from the branch's end, or from the request for it, to here. In nanoseconds; 0 if no
    // branch has ended.
    uint64_t latency_ns;
    // How many kernel objects (file offsets, timers) could not be put back.
    uint32_t not_restored;
    // `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
    uint32_t rollback;
};

// What is known of a snapshot.
struct snapshot_taken {
    // Set it to `sizeof(struct snapshot_taken)` before the call.
    uint32_t size;
    // The snapshot's number.
    uint32_t id;
    // The label that the program gave it; "" if none, or if it was taken from outside.
    char label[SNAPSHOT_TEXT_BYTES];
    // What the program was about to do; "" if it did not say.
    char context[SNAPSHOT_TEXT_BYTES];
};

// How an attempt has ended.
struct snapshot_outcome {
    // Set it to `sizeof(struct snapshot_outcome)` before the call.
    uint32_t size;
    // `SNAPSHOT_COMMITTED`, or why the function was not: `SNAPSHOT_FAILED`, `SNAPSHOT_DEADLINE`,
    // `SNAPSHOT_ENDED`, `SNAPSHOT_PANICKED`; an error if it was not called.
    int32_t cause;
    // What the function returned, if it failed; else 0.
    int32_t error;
    // The snapshot's number; 0 if the function was not undone.
    uint32_t id;
    // How the branch has ended: one of the `SNAPSHOT_ENDED_*`.
    uint32_t ended;
    // The exit status or the signal; else 0.
    int32_t number;
    // The time from the branch's end to here, in nanoseconds.
    uint64_t latency_ns;
    // How many kernel objects (file offsets, timers) could not be put back.
    uint32_t not_restored;
    // `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
    uint32_t rollback;
    // Why, in words; cut if it is long. `snapshot_last_error` has all of it.
    char text[SNAPSHOT_TEXT_BYTES];
};

// How a copy has ended. Arrays are made of it, so it does not grow.
struct snapshot_end {
    // `SNAPSHOT_ENDED_EXITED` or `SNAPSHOT_ENDED_KILLED`.
    uint32_t ended;
    // The exit status or the signal.
    int32_t number;
};

// Where the time of the last snapshot went, in microseconds.
struct snapshot_phases {
    // Set it to `sizeof(struct snapshot_phases)` before the call.
    uint32_t size;
    // Every thread was stopped.
    uint32_t park_us;
    // What a copy lacks was recorded: timers, pending signals.
    uint32_t record_us;
    // The process was copied, as `fork()` does.
    uint32_t split_us;
    // The copy recorded what it shares, and the supervisor looked for what won't roll back. In a
    // program alone: the threads were made again.
    uint32_t complete_us;
    // The threads were released.
    uint32_t release_us;
    // From the release until the last thread ran the program's code again.
    uint32_t leave_us;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A short text for an error number. It lives as long as the program.
const char *snapshot_error_text(int error);

// The full text of this thread's last error, or of its last attempt that was undone; "" if there
// was none. The place stays the same as long as the thread lives; the text stays until its next
// call of this library.
const char *snapshot_last_error(void);

// Takes a snapshot. It returns twice: `SNAPSHOT_LIVE` now, and `SNAPSHOT_REVERTED` when the branch
// that begins now has ended. On an error the program is untouched.
//
// `label` (UTF-8, up to 160 bytes of it are shown) and `report` may be null.
//
// It first flushes stdio, or both branches would write what is buffered.
//
// # Safety
// `label` must be null or NUL-terminated, `report` null or a structure with its size set.
int snapshot_take(const char *label, struct snapshot_report *report);

// The same, and remembers what the program was about to do, for `snapshot_describe`. `context` may
// be null.
//
// # Safety
// As `snapshot_take`; `context` must be null or NUL-terminated.
int snapshot_take_in_context(const char *label,
                             const char *context,
                             struct snapshot_report *report);

// Ends this branch: the program goes on from the newest snapshot. No destructors and no exit
// handlers run. It returns only with an error.
int snapshot_revert(void);

// Ends this branch and the snapshots newer than `id`: the program goes on from `id`. It returns
// only with an error.
int snapshot_revert_to(uint32_t id);

// Drops every snapshot, so that all changes since are final. Returns 0 or an error.
int snapshot_commit(void);

// Forgets one snapshot; the others stay. Returns 0 or an error.
int snapshot_drop(uint32_t id);

// Writes the numbers of the snapshots under this process, oldest first, at most `capacity` of them.
// Returns how many there are (at most 32 are listed), or an error. `ids` may be null if `capacity`
// is 0.
//
// # Safety
// `ids` must have room for `capacity` numbers.
int snapshot_list(uint32_t *ids, size_t capacity);

// How many snapshots lie under this process. 0 means that nothing can be undone.
unsigned int snapshot_depth(void);

// Whether what happens now may be undone.
bool snapshot_is_in_snapshot(void);

// Who keeps this program's snapshots: `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
int snapshot_rollback(void);

// For a program alone: SIGUSR1 takes a snapshot, and SIGINT reverts to the newest one, or keeps its
// old meaning if there is none. Under a launcher this does nothing: it serves these signals
// already. Returns 0 or an error.
int snapshot_install_handlers(void);

// The library's version, such as "0.1.0".
const char *snapshot_version(void);

// Says what is known of a snapshot. Returns 0 or an error.
//
// # Safety
// `taken` must be a structure with its size set.
int snapshot_describe(uint32_t id, struct snapshot_taken *taken);

// As `snapshot_revert_to`, and says why: `snapshot_reason` gives it to whoever comes back. `reason` is
// UTF-8; of a long one the first 4,000 bytes come through.
//
// # Safety
// `reason` must be null or NUL-terminated.
int snapshot_revert_with(uint32_t id,
                         const char *reason);

// Why the branch of snapshot `id` has ended, if it said so by `snapshot_revert_with`; else "". It can
// be asked for once, after `snapshot_take` has returned `SNAPSHOT_REVERTED`. The text stays until this
// thread's next call of this library.
const char *snapshot_reason(uint32_t id);

// As `snapshot_revert_with` after so many milliseconds, unless `snapshot_end_deadline` comes before. A
// thread of the library's waits for that. If the snapshot is gone by then, nothing happens. Returns 0 or
// an error; the deadline's number, which is never 0, goes to `deadline`.
//
// # Safety
// `reason` must be null or NUL-terminated, `deadline` writable.
int snapshot_revert_after(uint32_t id,
                          uint64_t milliseconds,
                          const char *reason,
                          uint64_t *deadline);

// Ends a deadline. If its time was over just before, this does not return. It is no error if there is no
// such deadline. Returns 0.
int snapshot_end_deadline(uint64_t deadline);

// Calls `f(data)` before each snapshot that the program itself takes, in the order of registration
// and in the thread that takes. In a hook the library takes and reverts nothing. Returns 0 or an
// error; the hook's number, which is never 0, goes to `hook` if that is not null.
//
// # Safety
// `f` may be called with `data` in any thread until the hook is removed. `hook` must be null or
// writable.
int snapshot_on_snapshot(void (*f)(void *data), void *data, uint64_t *hook);

// Calls `f(data)` after each revert, the hook that was registered last first: for connections that
// have to be made again, and for random numbers that must not come twice. After a revert to a
// snapshot that the program took itself they run in the thread that took it, before
// `snapshot_take` returns; else in a thread of the library's. Returns 0 or an error, and the number
// as above.
//
// # Safety
// As `snapshot_on_snapshot`.
int snapshot_on_revert(void (*f)(void *data), void *data, uint64_t *hook);

// The hook runs no more; a run that another thread has begun goes on. It is no error if there is no
// such hook. Returns 0 or an error.
int snapshot_remove_hook(uint64_t hook);

// Calls `f(data)` once nothing can undo it: now if there is no snapshot, else as soon as none is
// left. It is never called if the branch ends before. After a commit from outside a thread of the
// library's calls it. Returns 0, or an error if it will not be called.
//
// # Safety
// `f` may be called with `data` once, in any thread.
int snapshot_on_commit(void (*f)(void *data), void *data);

// Calls `f(data)`. If it returns 0, what it did stays. If it returns another number, or crashes in
// any way (abort, SIGSEGV, stack overflow, out of memory), or takes longer than `deadline_ms`
// milliseconds (0: it may take any time), the program goes on here as if it had never run.
//
// Returns 0 if it stays, `SNAPSHOT_FAILED` and so on if it was undone, or an error. With an error
// `f` was not called; or it has failed and could not be undone, because somebody has dropped the
// snapshot, for example. Then the outcome says why it failed, and `snapshot_last_error` why it was
// not undone. `outcome` may be null.
//
// An exception in C++ that leaves `f` ends the process, and is undone as a crash; `snapshot.hpp`
// has an attempt that catches them. A process that `f` has forked must not return from it.
//
// # Safety
// `f` is called with `data` in this thread. `outcome` must be null or a structure with its size
// set.
int snapshot_attempt(int (*f)(void *data),
                     void *data,
                     uint64_t deadline_ms,
                     struct snapshot_outcome *outcome);

// Says in words why the function of the innermost attempt in this thread is about to fail. The words
// come through the revert, into the outcome's text; of a long text the first 4,000 bytes do.
// `reason` is UTF-8 and is copied. Returns 0 or an error.
//
// # Safety
// `reason` must be null or NUL-terminated.
int snapshot_set_reason(const char *reason);

// Gives the generators that the whole process shares new seeds from the kernel: `rand()` and
// `random()`, and OpenSSL's in every libcrypto that is loaded as a shared library, for all its threads.
// Two branches from one snapshot draw the same numbers else, and so the same secrets. Generators that
// the program keeps itself are its own to seed, in a `snapshot_on_revert` hook or by
// `snapshot_reverts`. Returns 0 or an error.
int snapshot_reseed(void);

// Whether each revert reseeds: it does what `snapshot_reseed` does, before all `snapshot_on_revert`
// hooks, and memory that is marked to be wiped in copies (`MADV_WIPEONFORK`) is wiped. It holds for the
// snapshots that are taken from now on, until it is turned off. Returns 0 or an error.
int snapshot_reseeds(bool wanted);

// Writes to `count` how many reverts there were, which no revert takes back. A thread with a generator
// of its own compares before it draws. Returns 0 or an error.
//
// # Safety
// `count` must be writable.
int snapshot_reverts(uint32_t *count);

// Calls `f(i, data)` for each `i` below `count`, each time in a fresh copy of the program, with all its
// threads and with its kernel objects as they are now. Fills `ends[i]` with how each copy has ended,
// and returns how many were tried, or an error.
//
// A copy ends with status 0 when `f` returns. A crash, an exit, a kill: all end the copy alone.
// Processes that it has started end with it. What it writes to files stays, and so does what it writes
// to memory that another process has as well.
//
// The program stands still meanwhile. SIGINT, SIGTERM, SIGHUP and SIGQUIT end the series, unless the
// program ignores them: then fewer are tried, and the program gets the signal.
//
// # Safety
// `f` is called with `data` in copies of this thread. `ends` must have room for `count` structures; it
// may be null.
int snapshot_try_each(void (*f)(size_t i, void *data),
                      void *data,
                      size_t count,
                      struct snapshot_end *ends);

// What `snapshot_persistent` calls. `mark` is SNAPSHOT_AFL_MARK, which has to be in the program's own
// file; the macro puts it there.
//
// # Safety
// `f` is called with `data` in copies of this thread. `mark` must be NUL-terminated.
int snapshot_persistent_marked(void (*f)(const uint8_t *input, size_t bytes, void *data),
                               void *data,
                               const char *mark);

// Says where the time of this program's last snapshot went; zeros if there was none. Returns 0 or an
// error.
//
// # Safety
// `phases` must be a structure with its size set.
int snapshot_last_phases(struct snapshot_phases *phases);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SNAPSHOT_H */
