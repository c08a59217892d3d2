// Guest: a program in C++ that calls the library by `snapshot.hpp`, and once by `snapshot.h`.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "snapshot.hpp"

struct Counted {
    static int alive;
    Counted() { alive++; }
    ~Counted() { alive--; }
};
int Counted::alive = 0;

static void say(const char *what, const snapshot::outcome &outcome) {
    std::cout << what << ": " << outcome.cause() << " '" << outcome.text() << "' alive "
              << Counted::alive << std::endl;
}

// What is thrown past the C interface ends the branch as a crash does.
static int throw_into_c(void *) { throw std::runtime_error("nobody catches this"); }

static void throws() {
    say("nothing", snapshot::attempt([] {}));
    say("exception", snapshot::attempt([] {
            Counted counted;
            throw std::runtime_error("told to throw");
        }));
    say("number", snapshot::attempt([] { throw 5; }));
    say("long", snapshot::attempt([] { throw std::runtime_error(std::string(40, 'x')); }));
    say("crash", snapshot::attempt([] { std::abort(); }));
    say("deadline", snapshot::attempt([] { std::this_thread::sleep_for(std::chrono::hours(1)); },
                                      std::chrono::milliseconds(20)));
    auto owned = std::unique_ptr<int>(new int(4));
    say("moved", snapshot::attempt([&] {
            auto mine = std::move(owned);
            throw std::runtime_error(std::to_string(*mine));
        }));
    std::cout << "owned " << *owned << std::endl;
    snapshot_outcome outcome{};
    outcome.size = sizeof outcome;
    int number = snapshot_attempt(throw_into_c, nullptr, 0, &outcome);
    std::cout << "past C: " << number << " signal " << outcome.number << std::endl;
}

static void guards() {
    int memory = 1;
    {
        snapshot::guard guard;
        if (!guard.is_back()) memory = 2;
    }
    std::cout << "left: memory " << memory << std::endl;
    {
        snapshot::guard guard("crashes");
        if (!guard.is_back()) std::abort();
        std::cout << "crash: signal " << guard.report().number << std::endl;
    }
    {
        snapshot::guard outer("outer");
        if (!outer.is_back()) {
            snapshot::guard inner("inner");
            memory++;
            if (!inner.is_back()) inner.keep();
            std::cout << "kept: memory " << memory << " depth " << snapshot_depth() << std::endl;
        }
        // The inner one was kept, and the outer one undoes it.
    }
    std::cout << "outer: memory " << memory << " depth " << snapshot_depth() << std::endl;
    {
        snapshot::guard guard;
        snapshot_commit();
        memory = 7;
    }
    std::cout << "committed before: memory " << memory << std::endl;
    try {
        snapshot::attempt([] {
            snapshot_commit();
            throw std::runtime_error("too late");
        });
    } catch (const snapshot::error &error) {
        std::cout << error.number() << ' ' << error.what() << std::endl;
    }
}

int main() {
    throws();
    guards();
}
