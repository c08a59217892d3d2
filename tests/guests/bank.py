"""Guest: SQLite inside CPython. Four threads, each with a connection of its own, move
money between accounts of one shared database in memory, in transactions; the sum
always stays the same and the database is whole."""

import os
import sqlite3
import sys
import threading
import time

ACCOUNTS = 16
PATIENCE = 15
NAME = "file:bank?mode=memory&cache=shared"

stop = threading.Event()
crash = threading.Event()
moved = [0] * 4


def connect():
    connection = sqlite3.connect(NAME, uri=True, isolation_level=None)
    connection.execute("PRAGMA cache_size = 50")
    return connection


def again(action):
    """A table that another connection has locked is no reason to wait inside SQLite:
    with a shared cache it says so at once."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.0005)


def move(connection, index, step):
    source, target = (index * 5 + step) % ACCOUNTS, (index + step * 7 + 1) % ACCOUNTS
    try:
        connection.execute("BEGIN IMMEDIATE")
        sql = "UPDATE account SET money = money + ? WHERE id = ?"
        connection.execute(sql, (-step, source))
        connection.execute(sql, (step, target))
        connection.execute("INSERT INTO log(thread, step) VALUES(?, ?)", (index, step))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def work(index):
    connection = connect()
    while not stop.is_set():
        if crash.is_set():
            os.abort()
        again(lambda: move(connection, index, moved[index] + 1))
        moved[index] += 1
        time.sleep(0.001)
    connection.close()


def value(connection, sql):
    return again(lambda: connection.execute(sql).fetchone()[0])


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return "err it never happened"
        time.sleep(0.001)
    return "ok"


def obey(connection, words):
    match words:
        case ["note", text]:
            again(lambda: connection.execute("INSERT INTO note VALUES(?)", (text,)))
            return "ok"
        case ["notes"]:
            rows = again(lambda: connection.execute("SELECT text FROM note").fetchall())
            return " ".join(["ok"] + [text for (text,) in rows])
        case ["advance"]:
            enough = [count + 10 for count in moved]
            return until(lambda: all(now >= then for now, then in zip(moved, enough)))
        case ["check"]:
            whole = value(connection, "PRAGMA integrity_check")
            return f"ok {whole} {value(connection, 'SELECT sum(money) FROM account')}"
        case ["crash"]:
            crash.set()
            return until(lambda: False)
    return f"err unknown command {words}"


main = connect()
main.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER NOT NULL)")
main.execute("CREATE TABLE log(thread INTEGER, step INTEGER, UNIQUE(thread, step))")
main.execute("CREATE TABLE note(text TEXT)")
main.executemany("INSERT INTO account VALUES(?, 1000)", [(id,) for id in range(ACCOUNTS)])
threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
for thread in threads:
    thread.start()
print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    print(obey(main, line.split()), flush=True)

stop.set()
for thread in threads:
    thread.join()
# Every step that a thread counts is in the log, once, and no other.
assert sum(moved) == value(main, "SELECT count(*) FROM log"), moved
for index, count in enumerate(moved):
    assert count == value(main, f"SELECT max(step) FROM log WHERE thread = {index}")
notes = ",".join(text for (text,) in main.execute("SELECT text FROM note"))
print("end", value(main, "SELECT sum(money) FROM account"), notes, flush=True)
