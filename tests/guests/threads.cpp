// Guest: the threads of the C++ library: a pool with a queue, futures and promises,
// thread-local objects with destructors, locks of both kinds, a barrier, and exceptions
// that are thrown in one thread and caught in another.
#include <atomic>
#include <barrier>
#include <condition_variable>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

constexpr int workers = 4;
constexpr auto patience = 15s;

// How many of them have been destroyed, each by its thread.
std::atomic<int> destroyed{0};

struct Local {
    std::string name = "nobody";
    ~Local() { ++destroyed; }
};
thread_local Local local;

class Pool {
public:
    Pool() {
        for (int index = 0; index < workers; ++index)
            threads.emplace_back([this, index] { work(index); });
    }

    ~Pool() { leave(); }

    std::future<std::string> add(std::function<std::string()> job) {
        std::packaged_task<std::string()> task(std::move(job));
        auto result = task.get_future();
        {
            std::lock_guard guard(mutex);
            tasks.push_back(std::move(task));
        }
        changed.notify_one();
        return result;
    }

    void leave() {
        {
            std::lock_guard guard(mutex);
            over = true;
        }
        changed.notify_all();
        for (auto &thread : threads) thread.join();
        threads.clear();
    }

private:
    void work(int index) {
        local.name = "worker-" + std::to_string(index);
        std::unique_lock guard(mutex);
        while (true) {
            changed.wait(guard, [this] { return over || !tasks.empty(); });
            if (tasks.empty()) return;
            auto task = std::move(tasks.front());
            tasks.pop_front();
            guard.unlock();
            task();
            guard.lock();
        }
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::packaged_task<std::string()>> tasks;
    bool over = false;
    std::vector<std::thread> threads;
};

// Throws from deep down, through frames that have something to destroy.
void dive(int depth, const std::string &what) {
    std::vector<int> ballast(static_cast<size_t>(depth) + 1, depth);
    if (depth == 0) throw std::runtime_error(what);
    dive(depth - 1, what);
    ballast.clear();
}

std::string get(std::future<std::string> &future) {
    if (!future.valid()) return "err nothing has begun";
    if (future.wait_for(patience) != std::future_status::ready) return "err it does not end";
    try {
        return "ok " + future.get();
    } catch (const std::runtime_error &error) {
        return std::string("ok caught ") + error.what();
    }
}

class Commander {
public:
    std::string obey(const std::string &line) {
        std::istringstream words(line);
        std::string verb, first, second;
        words >> verb >> first >> second;
        if (verb == "set") {
            std::unique_lock guard(lock);
            memory[first] = second;
            return "ok";
        }
        if (verb == "get") {
            // Read by a worker, under the shared side of the lock.
            auto value = pool.add([this, first] {
                std::shared_lock guard(lock);
                auto found = memory.find(first);
                return found == memory.end() ? std::string("-") : found->second;
            });
            return ::get(value);
        }
        if (verb == "workers") {
            // Each blocks its worker until all have come.
            auto all = std::make_shared<std::barrier<>>(workers);
            std::vector<std::future<std::string>> names;
            for (int index = 0; index < workers; ++index)
                names.push_back(pool.add([all] {
                    all->arrive_and_wait();
                    return local.name;
                }));
            std::map<std::string, int> sorted;
            for (auto &name : names) ++sorted[::get(name)];
            return sorted.size() == workers ? "ok" : "err a worker is missing";
        }
        if (verb == "begin") {
            // A thread of its own, that waits in `open` for what it is to throw.
            opening = std::promise<std::string>();
            begun = std::async(std::launch::async, [future = opening.get_future()]() mutable {
                auto what = future.get();
                dive(20, what);
                return std::string("nothing was thrown");
            });
            return "ok";
        }
        if (verb == "open") {
            opening.set_value(first);
            return ::get(begun);
        }
        if (verb == "throw") {
            auto thrown = pool.add([first]() -> std::string {
                dive(20, first);
                return "nothing was thrown";
            });
            return ::get(thrown);
        }
        if (verb == "destroyed") return "ok " + std::to_string(destroyed.load());
        if (verb == "terminate") {
            // Nobody catches it, so the whole program ends.
            std::thread([] { dive(20, "uncaught"); }).join();
        }
        return "err there is no such command";
    }

    std::string end() {
        pool.leave();
        std::ostringstream text;
        text << "end " << destroyed.load();
        for (auto &[name, value] : memory) text << ' ' << name << '=' << value;
        return text.str();
    }

private:
    std::shared_mutex lock;
    std::map<std::string, std::string> memory;
    std::promise<std::string> opening;
    std::future<std::string> begun;
    Pool pool;
};

int main() {
    Commander commander;
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);)
        std::cout << commander.obey(line) << std::endl;
    std::cout << commander.end() << std::endl;
    return 6;
}
