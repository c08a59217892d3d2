"""Guest: a bank in a database on disk, in WAL mode, which SQLite keeps in three files: the
database, the log of changes not yet in it, and the index of the log, which is memory shared
with all processes that have the database open. The main thread moves money, a statement at a time;
a second thread reads with a connection of its own, and finds the sum unchanged and each
transaction whole, or ends the program with status 70.

On stdin: `step N SALT` makes N statements, where SALT decides the amounts; `finish SALT`
goes on to the end of a transaction; both are answered by `ok COMMITTED OPEN`. `run SALT`
makes statements until it is killed, and `die` aborts. `check` checks all of it,
`checkpoint MODE` moves the log into the database, which happens at no other time. With the
argument `alone` there is no reader."""

import os
import sqlite3
import sys
import threading
import time
import traceback

ACCOUNTS = 32
START = 1000
LEGS = 3
NAME = "bank.db"

committed = 0
ending = threading.Event()


def connect():
    connection = sqlite3.connect(NAME, isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def transfers(connection):
    """Endless; a statement is made each time it is given a salt."""
    global committed
    move = "UPDATE account SET money = money + ? WHERE id = ?"
    salt = yield
    while True:
        connection.execute("BEGIN IMMEDIATE")
        salt = yield
        for leg in range(LEGS):
            amount = (salt * 7 + leg) % 97 + 1
            connection.execute(move, (-amount, (salt + leg) % ACCOUNTS))
            salt = yield
            connection.execute(move, (amount, (salt * 5 + leg + 1) % ACCOUNTS))
            salt = yield
            connection.execute("INSERT INTO log(note) VALUES(?)", (f"{salt:060}",))
            salt = yield
        connection.execute("COMMIT")
        committed += 1
        salt = yield


def look(connection):
    """The sum and how many transactions there are, at one moment."""
    connection.execute("BEGIN")
    (total,) = connection.execute("SELECT sum(money) FROM account").fetchone()
    (rows,) = connection.execute("SELECT count(*) FROM log").fetchone()
    connection.execute("COMMIT")
    if total != ACCOUNTS * START or rows % LEGS:
        raise AssertionError(f"the sum is {total}, {rows} rows")
    return rows // LEGS


def read():
    try:
        connection = connect()
        last = 0
        while not ending.is_set():
            found = look(connection)
            if found < last:
                raise AssertionError(f"{found} transactions after {last}")
            last = found
            time.sleep(0.001)
        connection.close()
    except BaseException:
        print("broken:", traceback.format_exc(), file=sys.stderr, flush=True)
        os._exit(70)


def check(connection):
    (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
    found = look(connection)
    if whole != "ok" or found != committed:
        return f"err {whole!r}, {found} transactions in the database, {committed} made"
    return f"ok {committed}"


def obey(words):
    match words:
        case ["step", count, salt]:
            for _ in range(int(count)):
                steps.send(int(salt))
            return f"ok {committed} {writer.in_transaction}"
        case ["finish", salt]:
            before = committed
            while committed == before:
                steps.send(int(salt))
            return f"ok {committed} {writer.in_transaction}"
        case ["die"]:
            os.abort()
        case ["run", salt]:
            print("ok", flush=True)
            while True:
                steps.send(int(salt))
        case ["check"]:
            return check(checker)
        case ["checkpoint", mode]:
            found = checker.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            return f"ok {found[0]}"
    return f"err unknown command {words}"


writer, checker = connect(), connect()
writer.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER NOT NULL)")
writer.execute("CREATE TABLE log(id INTEGER PRIMARY KEY, note TEXT)")
writer.executemany(f"INSERT INTO account VALUES(?, {START})", [(id,) for id in range(ACCOUNTS)])
steps = transfers(writer)
next(steps)
reader = threading.Thread(target=read)
if "alone" not in sys.argv:
    reader.start()
print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    try:
        answer = obey(line.split())
    except (sqlite3.Error, AssertionError) as error:
        answer = f"err {error}"
    print(answer, flush=True)

ending.set()
if "alone" not in sys.argv:
    reader.join()
while writer.in_transaction:
    steps.send(0)
end = check(checker)
writer.close()
checker.close()
print("end", end, flush=True)
