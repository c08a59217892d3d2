"""Guest: a database of SQLite on disk, in the journal mode of its first argument. It is open all
the time, also across a take, and perhaps in the middle of a transaction.

On stdin: `step N SALT` makes N statements of transactions, `run SALT` makes them until it is
killed, `rows` answers how many are committed, whether a transaction is open, and a sum of
everything that this connection sees, `whole` what the integrity check says, `large SALT` makes
a transaction that does not fit into the cache, and `checkpoint` moves a log into the database."""

import hashlib
import sqlite3
import sys

connection = sqlite3.connect("bank.db", isolation_level=None, timeout=10)
mode = sys.argv[1]
(found,) = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
assert found == mode, found
connection.execute("PRAGMA cache_size = 20")
connection.execute("CREATE TABLE entry(id INTEGER PRIMARY KEY, note TEXT, blob BLOB)")
connection.execute("CREATE INDEX by_note ON entry(note)")


def statements():
    """Endless; a statement is made each time a salt is sent."""
    salt = yield
    while True:
        connection.execute("BEGIN IMMEDIATE")
        salt = yield
        for part in range(4):
            note, blob = f"{salt} {part}", bytes([salt % 256]) * (salt * 37 % 3000)
            connection.execute("INSERT INTO entry(note, blob) VALUES(?, ?)", (note, blob))
            salt = yield
            connection.execute("UPDATE entry SET note = note || '.' WHERE id % 7 = ?", (salt % 7,))
            salt = yield
        if salt % 5 == 0:
            connection.execute("DELETE FROM entry WHERE id % 11 = ?", (salt % 11,))
            salt = yield
        connection.execute("ROLLBACK" if salt % 9 == 0 else "COMMIT")
        salt = yield


def rows():
    everything = hashlib.sha256()
    count = 0
    for row in connection.execute("SELECT id, note, blob FROM entry ORDER BY id"):
        everything.update(repr(row).encode())
        count += 1
    return f"ok {count} {connection.in_transaction} {everything.hexdigest()[:16]}"


def obey(words):
    match words:
        case ["step", count, salt]:
            for number in range(int(count)):
                steps.send(int(salt) + number)
            return "ok"
        case ["run", salt]:
            print("ok", flush=True)
            while True:
                salt = int(salt) + 1
                steps.send(salt)
        case ["large", salt]:
            if connection.in_transaction:
                return "ok"
            connection.execute("BEGIN IMMEDIATE")
            for number in range(300):
                blob = bytes([number % 256]) * 4000
                connection.execute("INSERT INTO entry(note, blob) VALUES(?, ?)", (salt, blob))
            connection.execute("COMMIT")
            return "ok"
        case ["checkpoint"]:
            if not connection.in_transaction:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
            return "ok"
        case ["rows"]:
            return rows()
        case ["whole"]:
            return "ok " + connection.execute("PRAGMA integrity_check").fetchone()[0]
    return f"err unknown command {words}"


steps = statements()
next(steps)
print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    print(obey(line.split()), flush=True)
connection.close()
