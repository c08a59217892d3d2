"""The shared part of the guests with an event loop in Python, like `ledger.rs` for Rust: counts
that must agree, threads that send to the loop and wait for its answers, and the commands on
stdin. A disagreement ends the program with status 70.

`go` waits until every timer and every sender has made progress; `mark N` keeps a number and
answers with the former one; `crash` has the loop abort; at the end of stdin the guest ends
by itself and prints `end ANSWERED`."""

import os
import queue
import sys
import threading
import time
import traceback

BROKEN = 70
PATIENCE = 10
WINDOW = 4

# Two periods that never fall on the same moment for long.
PERIODS = [0.005, 0.007]

ticks = [0 for _ in PERIODS]
answered = []
ending = threading.Event()


def broken(why):
    print("broken:", why, file=sys.stderr, flush=True)
    os._exit(BROKEN)


def guard(body):
    """Ends the program when this body raises anything, in whatever thread."""

    def guarded(*arguments):
        try:
            return body(*arguments)
        except BaseException:
            broken(traceback.format_exc())

    return guarded


def tick(timer):
    ticks[timer] += 1


class Inbox:
    """What the loop keeps for one sender: each message comes once, and in order."""

    def __init__(self):
        self.count = 0
        self.sum = 0

    def receive(self, message):
        self.count += 1
        self.sum += message
        if message != self.count or self.sum != self.count * (self.count + 1) // 2:
            broken(f"message {message} came as number {self.count}, sum {self.sum}")
        return message


def sender(send, answer):
    """A thread that sends to the loop, gets its answers, and naps between, so that the
    loop has nothing to do and must be woken up."""
    number = len(answered)
    answered.append(0)

    def body():
        sent = 0
        while not ending.is_set():
            for _ in range(sent % WINDOW + 1):
                sent += 1
                send(sent)
            while answered[number] < sent:
                message = answer()
                answered[number] += 1
                if message != answered[number]:
                    broken(f"answer {message} came as number {answered[number]}")
            time.sleep(0.0002 + sent % 7 * 0.0002)

    thread = threading.Thread(target=guard(body))
    thread.start()
    return thread


def sender_by_queue(send):
    """A sender whose answers come by a queue, which is handed to `send` with each."""
    answers = queue.SimpleQueue()
    return sender(
        lambda message: send(message, answers),
        lambda: answers.get(timeout=PATIENCE),
    )


def sender_by_socket(ours):
    """A sender at one end of a pair of sockets; a message is 8 bytes."""
    ours.settimeout(PATIENCE)

    def answer():
        data = b""
        while len(data) < 8:
            data += ours.recv(8 - len(data)) or broken("the loop has hung up")
        return int.from_bytes(data, "little")

    return sender(lambda message: ours.sendall(message.to_bytes(8, "little")), answer)


def answers(inbox, data):
    """The answers to the messages in some bytes, and the bytes that are left."""
    whole = len(data) // 8 * 8
    messages = [data[at : at + 8] for at in range(0, whole, 8)]
    back = [inbox.receive(int.from_bytes(message, "little")) for message in messages]
    return b"".join(number.to_bytes(8, "little") for number in back), data[whole:]


def get_on(counts, what):
    begin = time.monotonic()
    for number, count in enumerate(list(counts)):
        while counts[number] < count + 3:
            if time.monotonic() - begin > PATIENCE:
                broken(f"{what} stands still: {number}")
            time.sleep(0.0005)


@guard
def obey(port, crash):
    mark = "none"
    print("ready", port, flush=True)
    for line in iter(sys.stdin.readline, ""):
        match line.split():
            case ["go"]:
                get_on(ticks, "a timer")
                get_on(answered, "a sender")
                print("ok", flush=True)
            case ["mark", text]:
                print("ok", mark, flush=True)
                mark = text
            case ["crash"]:
                crash()
                # The answer is the end of this process.
                time.sleep(PATIENCE)
                print("err the loop was to abort", flush=True)
            case words:
                print("err unknown command", words, flush=True)


def end(senders):
    """Ends the senders, each with an answer to all that it has sent."""
    ending.set()
    for thread in senders:
        thread.join()
    print("end", sum(answered), flush=True)
