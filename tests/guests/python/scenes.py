"""Guest: the Python package. `scenes.py SCENE` plays one scene and prints a line for each step; the
same scenes run under the launcher and alone."""

import ast
import ctypes
import io
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time

import snapshot


def tried(function, *args, **options):
    """What an attempt comes to, in one line."""
    memory = [1]

    def run():
        memory.append(2)
        return function(*args)

    try:
        result = snapshot.attempt(run, **options)
        print("result", result, "memory", memory, "depth", snapshot.depth())
    except snapshot.AttemptError as error:
        print(f"{error.cause} {error.status}: {error}")
        print("memory", memory, "depth", snapshot.depth())


def fail():
    raise ValueError("the numbers don't add up")


def names():
    """A user of the first snapshot.py, which had these."""
    memory = 1
    print("depth 0:", snapshot.is_in_snapshot(), not_in_branch())
    if snapshot.snapshot():
        memory = 2
        print("branch:", snapshot.is_in_snapshot(), not_in_branch(), memory)
        if snapshot.snapshot(context=["told", "by", "the", "program\n"]):
            print(snapshot.format_snapshot_list(2).replace(__file__, "FILE"))
            snapshot.print_snapshot_list(context_frames=1)
            snapshot.revert_to_snapshot()
        print("back in the branch:", snapshot.is_in_snapshot())
        snapshot.revert_to_snapshot(0)
    print("back:", snapshot.is_in_snapshot(), not_in_branch(), memory)
    try:
        snapshot.revert_to_snapshot()
    except snapshot.SnapshotError as error:
        print("error:", error)


@snapshot.not_in_snapshot
def not_in_branch():
    return "ran"


def block():
    memory = [1]
    with snapshot.attempt() as attempt:
        memory.append(2)
    print("kept", memory, snapshot.depth(), attempt.number)
    try:
        with snapshot.attempt():
            memory.append(3)
            fail()
        print("never")
    except snapshot.AttemptError as error:
        print("undone", memory, snapshot.depth(), error.cause, error)
        print("fail()" in error.text, "Traceback" in error.text)
    try:
        with snapshot.attempt():
            memory.append(3)
            os.abort()
    except snapshot.AttemptError as error:
        print("undone", memory, snapshot.depth(), error)
    try:
        with snapshot.attempt():
            sys.exit("a word")
    except snapshot.AttemptError as error:
        print("undone", error)


def tries():
    with snapshot.attempt(tries=3) as attempt:
        if attempt.number < 3:
            raise ValueError(f"try {attempt.number}")
        print("try", attempt.number, "after", attempt.failure)
    print("depth", snapshot.depth())

    @snapshot.attempt(tries=2)
    def function(number):
        raise KeyError(number)

    try:
        function(7)
    except snapshot.AttemptError as error:
        print("function:", error)
    counted = []
    try:
        with snapshot.attempt(tries=5) as attempt:
            counted.append(1)
            print("once")
            raise KeyboardInterrupt
    except snapshot.AttemptError as error:
        print(error.cause, counted)


def calls():
    tried(lambda: 5)
    tried(fail)
    tried(os.abort)
    tried(os._exit, 3)
    tried(time.sleep, 100, deadline=0.1)
    tried(lambda: os.kill(os.getpid(), signal.SIGKILL))
    for misuse in ({"tries": 0}, {"deadline": -1}, {"deadline": float("nan")}):
        try:
            snapshot.attempt(**misuse)
        except ValueError as error:
            print(error)


def deadlines():
    """A block that takes too long is undone, whatever it does meanwhile."""
    memory = [1]
    for takes_long in (
        lambda: time.sleep(1000),
        # Without giving up the interpreter's lock.
        lambda: sum(range(10**15)),
        lambda: threading.Event().wait(),
    ):
        try:
            with snapshot.attempt(deadline=0.1):
                memory.append(2)
                takes_long()
        except snapshot.AttemptError as error:
            print(f"{error.cause} {error.status}: {error} {memory} {snapshot.depth()}")
    with snapshot.attempt(tries=2, deadline=0.1) as attempt:
        if attempt.number == 1:
            time.sleep(1000)
        print("try", attempt.number, "after", attempt.failure.cause)
    # One that was in time: nothing happens after it.
    with snapshot.attempt(deadline=1000):
        memory.append(3)

    @snapshot.attempt(deadline=0.1)
    def sleeps():
        time.sleep(1000)

    try:
        sleeps()
    except snapshot.AttemptError as error:
        print("function:", error, memory)
    print("threads", [thread for thread in os.listdir("/proc/self/task") if "watch" in name_of(thread)])


def name_of(thread):
    with open(f"/proc/self/task/{thread}/comm") as name:
        return name.read()


def long_text():
    try:
        with snapshot.attempt():
            raise ValueError("ü" * 5000 + "!")
    except snapshot.AttemptError as error:
        print(len(error.text.encode()) > 3800, str(error)[-3:])


def nested():
    memory = [1]
    try:
        with snapshot.attempt():
            with snapshot.attempt():
                memory.append(2)
            try:
                with snapshot.attempt():
                    memory.append(3)
                    fail()
            except snapshot.AttemptError as error:
                print("inner", error, memory, snapshot.depth())
            raise KeyError("outer")
    except snapshot.AttemptError as error:
        print("outer", error, memory, snapshot.depth())


def hooks():
    @snapshot.on_snapshot
    def first():
        print("before a take")
        try:
            snapshot.snapshot()
        except snapshot.SnapshotError as error:
            print("in a hook:", error)

    @snapshot.on_revert
    def second():
        print("second")

    @snapshot.on_revert
    def third():
        print("third")
        raise ValueError("a hook's own")

    @snapshot.on_revert
    def fourth():
        print("never")

    snapshot.remove_hook(fourth)
    if snapshot.snapshot():
        print("branch")
        snapshot.revert()
    print("back")


def commits():
    snapshot.on_commit(lambda: print("at once"))
    if snapshot.snapshot():
        snapshot.on_commit(lambda: print("never"))
        snapshot.revert()
    if snapshot.snapshot():

        @snapshot.on_commit
        def later():
            print("after the commit")

        print("branch", not_in_branch())
        snapshot.commit()
    print("depth", snapshot.depth(), not_in_branch())


def draw():
    """The numbers that a program may make secrets of."""
    drawn = [random.random()]
    if "numpy" in sys.modules:
        drawn.append(sys.modules["numpy"].random.random())
    if "ssl" in sys.modules:
        drawn.append(sys.modules["ssl"].RAND_bytes(8).hex())
    # As a library that knows a copy by it.
    if WIPED[0] == 0:
        WIPED[:8] = b"\1" + os.urandom(7)
    drawn.append(WIPED[:8].hex())
    return drawn


WIPED = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
WIPED.madvise(18)  # MADV_WIPEONFORK, which Python 3.8 has no name for


def tracing():
    """The debugger's next line takes a snapshot."""
    screen, sys.stdout = sys.stdout, io.StringIO()
    sys.stdin = io.StringIO("next\ncontinue\n")
    snapshot.set_trace("pdb")
    shown, sys.stdout = sys.stdout.getvalue(), screen
    print("-> snapshot()" in shown, snapshot.depth())
    if snapshot.depth() > 0:
        snapshot.revert()


def secrets():
    """Three tries from one state draw three secrets; with `reseeds(False)` the same one."""
    import ssl

    try:
        __import__("numpy")
    except ImportError:
        pass
    random.seed(1)
    draw()
    # Somebody outside, who remembers what each try has drawn.
    heard = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for wanted in (True, False):
        snapshot.reseeds(wanted)
        with snapshot.attempt(tries=3) as attempt:
            heard.stdin.write(f"{draw()}\n".encode())
            heard.stdin.flush()
            if attempt.number < 3:
                raise ValueError("again")
    drawn = [ast.literal_eval(heard.stdout.readline().decode()) for _ in range(6)]
    heard.kill()
    fresh, same = drawn[:3], drawn[3:]
    print("with numpy:", "numpy" in sys.modules)
    print("fresh:", all(len(set(column)) == 3 for column in zip(*fresh)))
    print("the same:", len({numbers[0] for numbers in same}) == 1)


def reseed():
    """New seeds when they are asked for, though reverts bring none."""
    libc = ctypes.CDLL(None)
    snapshot.reseeds(False)

    def drawn(by_hand):
        random.seed(1)
        libc.srandom(1)
        if by_hand:
            snapshot.reseed()
        return random.random(), libc.random()

    first, again, fresh = drawn(False), drawn(False), drawn(True)
    print(first == again, [old == new for old, new in zip(first, fresh)])


def threads():
    """Threads of Python go on in the branch and after it."""
    count = [0]
    go_on = True

    def work():
        while go_on:
            count[0] += 1
            time.sleep(0.0001)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()

    def seen(more):
        before = count[0]
        while count[0] < before + more:
            time.sleep(0.001)

    seen(10)
    if snapshot.snapshot():
        seen(100)
        print("branch")
        snapshot.revert()
    seen(100)
    print("back")
    go_on = False
    for worker in workers:
        worker.join()
    print("joined")


def handlers():
    """Counts, and lets signals take and end branches."""
    snapshot.install_handlers()

    @snapshot.on_revert
    def say_so():
        print("hook", flush=True)

    def elsewhere():
        try:
            snapshot.install_handlers()
        except RuntimeError as error:
            print(error, flush=True)

    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    count = 0
    while True:
        count += 1
        pid, depth = os.getpid(), snapshot.depth()
        # A snapshot may come between the two.
        if pid == os.getpid():
            print("count", count, pid, "depth", depth, flush=True)
        time.sleep(0.01)


def children():
    """A child of the program's may use the module, too: it is no live process, and takes nothing."""
    told = "import snapshot; print(snapshot.depth(), snapshot.is_in_snapshot())"
    subprocess.run([sys.executable, "-c", told], check=True)
    sys.stdout.flush()
    if os.fork() == 0:
        print("forked", snapshot.depth(), flush=True)
        os._exit(0)
    os.wait()
    print("end")


def buffers():
    """What is buffered is written once."""
    sys.stdout.write("begun, ")
    if snapshot.snapshot():
        sys.stdout.write("in the branch, ")
        snapshot.revert()
    print("ended")


def statuses():
    """How a branch has ended, in words."""
    for end in (
        lambda: sys.exit(3),
        lambda: exit(),
        lambda: sys.exit("a word"),
        fail,
        lambda: os._exit(9),
        lambda: os.kill(os.getpid(), signal.SIGTERM),
        snapshot.revert,
    ):
        arrival = snapshot.take("a label")
        if arrival:
            end()
            raise AssertionError("it goes on")
        print(str(arrival).partition(": ")[2])


globals()[sys.argv[1]]()
