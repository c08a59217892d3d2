"""Guest: CPython's threads. Workers take numbers from a queue and add them up under a
lock, one thread sleeps over and over, one waits for an event, one blocks in reading
stdin, and the main thread waits for the lines that it passes on."""

import os
import queue
import sys
import threading
import time

PATIENCE = 15

orders = queue.Queue()
numbers = queue.Queue()
lock = threading.Lock()
total = 0
seen = []
ticks = 0
opened = threading.Event()
stop = threading.Event()
passed = threading.Event()


def work():
    global total
    while (number := numbers.get()) is not None:
        if number < 0:
            os.abort()
        with lock:
            before = total
            seen.append(number)
            # Another thread gets the interpreter here, if the lock lets it.
            time.sleep(0)
            total = before + number
        numbers.task_done()


def tick():
    global ticks
    while not stop.is_set():
        time.sleep(0.003)
        ticks += 1


def wait():
    opened.wait()
    passed.set()


def read():
    for line in iter(sys.stdin.readline, ""):
        orders.put(line.split())
    orders.put(["finish"])


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return "err it never happened"
        time.sleep(0.001)
    return "ok"


def obey(words):
    match words:
        case ["add", first, last]:
            for number in range(int(first), int(last) + 1):
                numbers.put(number)
            numbers.join()
            return f"ok {total}"
        case ["later", first, last]:
            for number in range(int(first), int(last) + 1):
                numbers.put(number)
            return "ok"
        case ["total"]:
            numbers.join()
            return f"ok {total} {len(seen)}"
        case ["tick"]:
            enough = ticks + 5
            return until(lambda: ticks >= enough)
        case ["passed"]:
            return f"ok {passed.is_set()}"
        case ["open"]:
            opened.set()
            return until(passed.is_set)
        case ["threads"]:
            return f"ok {threading.active_count()}"
        case ["crash"]:
            numbers.put(-1)
            numbers.join()
    return f"err unknown command {words}"


workers = [threading.Thread(target=work) for _ in range(4)]
others = [threading.Thread(target=target) for target in (tick, wait)]
for thread in workers + others:
    thread.start()
threading.Thread(target=read, daemon=True).start()
print("ready", flush=True)
while (words := orders.get()) != ["finish"]:
    print(obey(words), flush=True)

stop.set()
opened.set()
for _ in workers:
    numbers.put(None)
for thread in workers + others:
    thread.join()
assert total == sum(seen)
print("end", total, len(seen), flush=True)
sys.exit(7)
