"""Guest: a loop over `selectors`, as a program writes it by hand: a deadline for the next
timer, a pipe that wakes it up, a listener and its connections, a pair of sockets. Epoll
reports each as long as there is something to read (level-triggered)."""

import collections
import os
import selectors
import socket
import threading
import time

import ledger

selector = selectors.EpollSelector()
due = [time.monotonic() + period for period in ledger.PERIODS]
messages = collections.deque()
inbox = ledger.Inbox()
orders = set()


def add(source, read):
    os.set_blocking(source if isinstance(source, int) else source.fileno(), False)
    selector.register(source, selectors.EVENT_READ, read)


def accept():
    try:
        client, _ = listener.accept()
    except (BlockingIOError, ConnectionError):
        return
    add(client, lambda: serve(client))


def serve(client):
    try:
        data = client.recv(256)
        client.sendall(data)
    except BlockingIOError:
        return
    except ConnectionError:
        data = b""
    if not data:
        selector.unregister(client)
        client.close()


def wake(message, answers):
    """Called by a sender: a byte in the pipe for each message in the queue."""
    messages.append((message, answers))
    os.write(waker, b"w")


def woken():
    # As many as there are bytes: what is in the pipe and what is in memory belong together.
    for _ in os.read(woken_by, 64):
        message, answers = messages.popleft()
        answers.put(inbox.receive(message))


class Answerer:
    """The loop's end of a pair of sockets."""

    def __init__(self, theirs):
        self.theirs = theirs
        self.inbox = ledger.Inbox()
        self.data = b""
        add(theirs, self.read)

    def read(self):
        back, self.data = ledger.answers(self.inbox, self.data + self.theirs.recv(256))
        self.theirs.sendall(back)


def run():
    while "stop" not in orders:
        now = time.monotonic()
        for timer, moment in enumerate(due):
            if moment <= now:
                ledger.tick(timer)
                due[timer] = now + ledger.PERIODS[timer]
        for key, _ in selector.select(max(0, min(due) - time.monotonic())):
            key.data()
        if "crash" in orders:
            os.abort()


listener = socket.create_server(("127.0.0.1", 0))
add(listener, accept)
woken_by, waker = os.pipe()
add(woken_by, woken)
ours, theirs = socket.socketpair()
Answerer(theirs)
thread = threading.Thread(target=ledger.guard(run))
thread.start()
senders = [ledger.sender_by_queue(wake), ledger.sender_by_socket(ours)]
ledger.obey(listener.getsockname()[1], lambda: orders.add("crash"))
ledger.end(senders)
orders.add("stop")
thread.join()
