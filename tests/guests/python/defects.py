"""Guest: what went wrong with the first snapshot.py, which forked and waited. `defects.py SCENE` plays
one scene alone; the test is at the other side of its terminal or pipes."""

import atexit
import os
import signal
import sys
import tempfile
import termios
import time
import tty

import snapshot

ROUNDS = 30


def say(*words):
    print(*words, flush=True)


def storm():
    """Takes snapshots in a hail of Ctrl+C, which ends branches and never the original."""

    def end_branch(_number, _frame):
        if snapshot.depth() > 0:
            os._exit(130)

    # The terminal throws nothing away at an interrupt, and echoes none.
    settings = termios.tcgetattr(0)
    settings[3] = settings[3] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(0, termios.TCSANOW, settings)
    signal.signal(signal.SIGINT, end_branch)
    say("ready")
    for number in range(ROUNDS):
        arrival = snapshot.take()
        if arrival:
            while True:
                time.sleep(10)
        say("round", number, os.getpid(), arrival.how())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("done")


def doubled():
    """Counts its interrupts in a branch."""
    seen = []

    def count(*_):
        seen.append(1)
        # The next interrupt may come in the middle of it: a print can't be begun twice.
        os.write(1, f"seen {len(seen)}\n".encode())

    signal.signal(signal.SIGINT, count)
    if snapshot.snapshot():
        say("ready")
        sys.stdin.readline()
        say("count", len(seen))
        snapshot.revert()
    say("count in the original", len(seen))


def signals():
    """Each branch gets a signal with its whole group, as from a terminal or a shell."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        arrival = snapshot.take()
        if arrival:
            signal.signal(number, signal.SIG_DFL)
            os.killpg(0, number)
            time.sleep(100)
        say(number.name, arrival.how())


def stopped():
    """Is stopped with its group, and goes on with it."""
    if snapshot.snapshot():
        # It may come twice: from the shell, and from the process that waits.
        signal.signal(signal.SIGCONT, lambda *_: os.write(1, b"goes on\n"))
        say("in the branch")
        say("told", sys.stdin.readline().strip())
        sys.exit()
    say("back")


def deep():
    """Goes from the third level to the first: nothing of the levels between lives on."""
    before = os.getpid()
    for _ in range(3):
        if not snapshot.snapshot():
            break
    if snapshot.depth() == 3:
        snapshot.revert_to_snapshot(0)
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        say("depth", snapshot.depth(), "same", os.getpid() == before, "children", children.read())


def cleanup():
    """What the original removes at its exit is there after the branch's exit."""
    # As a program has them, in its module: what is local to a function goes with its frame.
    global directory, named
    directory = tempfile.TemporaryDirectory()
    named = tempfile.NamedTemporaryFile(dir=directory.name)
    atexit.register(say, "the program's own handler")
    if snapshot.snapshot():
        atexit.register(say, "the branch's handler")
        sys.exit(4)
    say("back", os.path.exists(directory.name), os.path.exists(named.name))


def settings():
    """A branch dies with the terminal in its own mode, and another group in front."""
    before = termios.tcgetattr(0)
    if snapshot.snapshot():
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        tty.setraw(0)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpgrp())
            os._exit(0)
        os.waitpid(child, 0)
        os._exit(1)
    say("same settings", termios.tcgetattr(0) == before)
    say("in front", os.tcgetpgrp(0) == os.getpgrp())


def listed():
    """Each process knows the snapshots under it, and none that has gone."""

    def labels():
        return [(taken.id, taken.label) for taken in snapshot.list_snapshots()]

    say(labels())
    if snapshot.take("one"):
        if snapshot.take("two"):
            say(labels())
            snapshot.revert()
        say(labels())
        snapshot.revert()
    say(labels())


globals()[sys.argv[1]]()
