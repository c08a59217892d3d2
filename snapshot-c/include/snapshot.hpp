// Snapshots of the calling process in C++11: what `snapshot.h` gives, with exceptions and
// destructors.
//
//     auto outcome = snapshot::attempt([&] { merge(table); });   // an exception undoes it
//     if (!outcome) std::cerr << outcome.text() << '\n';
//
// or, for a scope:
//
//     snapshot::guard guard("merge");
//     if (guard.is_back()) return false;      // what follows has failed, and is undone
//     merge(table);                           // leaving the scope by an exception undoes it
//     guard.keep();

#ifndef SNAPSHOT_HPP
#define SNAPSHOT_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

#include "snapshot.h"

namespace snapshot {

// There is no snapshot, or no revert. `what()` is the full text.
class error : public std::runtime_error {
public:
    // For a function that has just returned this number in this thread.
    explicit error(int number) : std::runtime_error(snapshot_last_error()), number_(number) {}

    // One of the SNAPSHOT_ERROR_*.
    int number() const noexcept { return number_; }

private:
    int number_;
};

// How an attempt has ended.
class outcome {
public:
    // Whether what the function did stays.
    explicit operator bool() const noexcept { return raw_.cause == SNAPSHOT_COMMITTED; }

    // SNAPSHOT_COMMITTED, SNAPSHOT_FAILED (by an exception), SNAPSHOT_DEADLINE or SNAPSHOT_ENDED.
    int cause() const noexcept { return raw_.cause; }

    // Why it was undone: what the exception says, for example.
    const std::string &text() const noexcept { return text_; }

    // All that is known.
    const snapshot_outcome &raw() const noexcept { return raw_; }

    // Of the attempt that has just ended in this thread; for `attempt`.
    explicit outcome(const snapshot_outcome &raw)
        : raw_(raw), text_(raw.cause == SNAPSHOT_COMMITTED ? "" : snapshot_last_error()) {}

private:
    snapshot_outcome raw_;
    std::string text_;
};

// Calls `f()`. If it throws, crashes, or takes longer than the deadline (0: it may take any time),
// the program goes on here as if it had never run. What `f` returns is not used.
//
// Throws `error` if `f` was not called, or has thrown and could not be undone.
template <class F>
outcome attempt(F &&f, std::chrono::milliseconds deadline = std::chrono::milliseconds(0)) {
    struct call {
        F &f;

        static int run(void *data) {
            try {
                static_cast<call *>(data)->f();
                return 0;
            } catch (const std::exception &thrown) {
                snapshot_set_reason(thrown.what());
            } catch (...) {
                snapshot_set_reason("an exception that is no std::exception");
            }
            return 1;
        }
    };
    call data{f};
    auto raw = snapshot_outcome();
    raw.size = sizeof raw;
    auto time = static_cast<std::uint64_t>(deadline.count());
    int number = snapshot_attempt(&call::run, &data, time, &raw);
    if (number < 0) throw error(number);
    return outcome(raw);
}

// A scope as a transaction. Unless `keep` was called, the program goes back to where the guard was
// made: when the scope is left, by an exception too, and when the program crashes in it.
class guard {
public:
    // Takes a snapshot. Throws `error` if there is none.
    explicit guard(const char *label = nullptr) : report_() {
        report_.size = sizeof report_;
        int number = snapshot_take(label, &report_);
        if (number < 0) throw error(number);
        is_live_ = number == SNAPSHOT_LIVE;
    }

    guard(const guard &) = delete;
    guard &operator=(const guard &) = delete;

    // Whether the program has come back to here. Then the guard guards nothing any more.
    bool is_back() const noexcept { return report_.ended != SNAPSHOT_ENDED_NOT; }

    // How the branch has ended, if the program has come back.
    const snapshot_report &report() const noexcept { return report_; }

    // What was done stays, as far as this guard goes: an outer one may still undo it.
    void keep() noexcept {
        // If the snapshot is gone already, somebody has committed before.
        if (is_live_) snapshot_drop(report_.id);
        is_live_ = false;
    }

    // Nothing is undone if somebody has committed before, nor in a process that the program has
    // forked.
    ~guard() {
        if (is_live_) snapshot_revert_to(report_.id);
    }

private:
    snapshot_report report_;
    bool is_live_;
};

}  // namespace snapshot

#endif
