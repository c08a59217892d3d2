// Exceptions that undo what was done before them, by a function and by a scope.
//
//     c++ -o attempt attempt.cpp $(pkg-config --cflags --libs snapshot)
//
// Runs alone, and under `snapshot-launch`, where files are undone too.

#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "snapshot.hpp"

using Table = std::map<std::string, int>;

// Leaves the table half merged if a row is bad.
static void merge(Table &table, const Table &rows) {
    for (const auto &row : rows) {
        if (row.second < 0) throw std::invalid_argument("row " + row.first + " is negative");
        table[row.first] += row.second;
    }
}

static void say(const char *what, const Table &table) {
    std::cout << what << ':';
    for (const auto &row : table) std::cout << ' ' << row.first << '=' << row.second;
    std::cout << std::endl;
}

// Returns whether all rows are in. The guard undoes the rows before the bad one.
static bool merge_in_a_scope(Table &table, const Table &rows) {
    snapshot::guard guard("merge");
    if (guard.is_back()) return false;
    merge(table, rows);
    guard.keep();
    return true;
}

int main() {
    Table table{{"a", 1}};
    const Table good{{"b", 2}}, bad{{"a", 10}, {"z", -1}};
    try {
        auto outcome = snapshot::attempt([&] { merge(table, good); });
        say(outcome ? "good rows" : "lost", table);

        outcome = snapshot::attempt([&] { merge(table, bad); });
        std::cout << "undone: " << outcome.text() << std::endl;
        say("bad rows", table);

        bool is_merged = merge_in_a_scope(table, bad);
        say(is_merged ? "lost" : "bad rows in a scope", table);
        is_merged = merge_in_a_scope(table, good);
        say(is_merged ? "good rows in a scope" : "lost", table);
    } catch (const std::exception &error) {
        std::cout << "lost: " << error.what() << std::endl;
        return 1;
    }
    std::cout << "depth " << snapshot_depth() << std::endl;
}
