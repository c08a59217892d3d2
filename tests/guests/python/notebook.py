"""Guest: a Jupyter client that plays scenes with the kernel whose cells can be undone.

Each scene is named on the command line, checks itself and prints its name at the end, and before that a
line for each step, since the test waits for the next one only so long. The kernelspec is installed into JUPYTER_DATA_DIR.
"""

import os
import random
import signal
import sys
import time

from jupyter_client import KernelManager
from snapshot import kernelspec

PATIENCE = 120


def step(text):
    """Says that the scene goes on."""
    print("step:", text, flush=True)


class Notebook:
    """A kernel with one client, as JupyterLab has it."""

    def __init__(self, *arguments):
        kernelspec.main(["install", "--user", *arguments])
        self.manager = KernelManager(kernel_name=kernelspec.NAME)
        self.manager.start_kernel()
        step("started")
        self.client = self.manager.client()
        self.client.start_channels()
        # As a Jupyter server does, before there is a kernel.
        number = self.send_other(self.client.control_channel, "kernel_info_request")
        self.client.wait_for_ready(timeout=PATIENCE)
        assert self.control_reply(number)["status"] == "ok"
        step("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        # Asks first, and waits.
        self.manager.shutdown_kernel()
        step("shut down")

    def send(self, code, **options):
        """Sends a cell, and does not wait."""
        return self.client.execute(code, **options)

    def send_other(self, channel, kind, **content):
        """Sends a message that is no cell."""
        message = self.client.session.msg(kind, content)
        channel.send(message)
        return message["header"]["msg_id"]

    def control_reply(self, number):
        """The reply to this request on the control channel."""
        while True:
            reply = self.client.get_control_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == number:
                return reply["content"]

    def wait_for_state(self, state, *numbers):
        """Waits until the kernel has said this of all these requests."""
        wanted = set(numbers)
        while wanted:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["content"].get("execution_state") == state:
                wanted.discard(message["parent_header"].get("msg_id"))

    def finish(self, number, stdin=None):
        """What the client hears of a cell: its reply, and all between busy and idle on iopub."""
        heard, kinds = [], []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != number:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status":
                kinds.append(content["execution_state"])
                if content["execution_state"] == "idle":
                    break
            elif kind == "stream":
                heard.append(content["text"])
            elif kind == "execute_result":
                heard.append(content["data"]["text/plain"])
            elif kind == "error":
                heard.append(f"{content['ename']}: {content['evalue']}")
            elif kind == "execute_input":
                kinds.append(content["execution_count"])
            if stdin is not None and kind == "execute_input":
                self.client.get_stdin_msg(timeout=PATIENCE)
                self.client.input(stdin)
        content = self.reply(number)
        step(f"cell {content.get('execution_count')}")
        assert kinds[0] == "busy" and kinds[-1] == "idle", kinds
        # A kernel that crashes may not have said which cell it runs.
        if content["status"] != "aborted" and content.get("ename") != "KernelWentBack":
            assert kinds[1:-1] == [content["execution_count"]], (kinds, content)
        return content, "".join(heard)

    def messages(self, code):
        """All that the client hears of a cell, in order: first on iopub, then the reply."""
        number, heard = self.send(code), []
        while not heard or heard[-1][1] != {"execution_state": "idle"}:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == number:
                heard.append((message["msg_type"], message["content"]))
        heard.append(("execute_reply", self.reply(number)))
        step(f"cell {heard[-1][1]['execution_count']}")
        return heard

    def reply(self, number):
        """The reply to this request. Those to `wait_for_ready` may come before."""
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"]["msg_id"] == number:
                return reply["content"]

    def run(self, code, status="ok", **options):
        """Runs a cell. Returns what it printed."""
        content, heard = self.finish(self.send(code, **options))
        assert content["status"] == status, (code, content, heard)
        return heard.rstrip("\n")

    def expect(self, code, heard, status="ok"):
        """Runs a cell that must print this."""
        seen = self.run(code, status)
        assert seen == heard, (code, seen, heard)


def scene_cells():
    """Undo and redo, by number, by label and step by step; numbers of cells only grow."""
    with Notebook() as notebook:
        notebook.run("x = 1")
        notebook.run("x = 2")
        notebook.run("x = 3; values = [1]")
        notebook.expect("%undo", "back before cell 3")
        notebook.expect("x, 'values' in globals()", "(2, False)")
        notebook.expect("%redo", "forward again, after cell 3")
        notebook.expect("x, values, len(In)", "(3, [1], 8)")
        notebook.expect("%undo 2", "back before cell 2")
        notebook.expect("x", "1")
        notebook.expect("%undo", "back before cell 9")
        notebook.expect("%undo", "back before cell 1")
        notebook.expect("'x' in globals()", "False")
        notebook.expect("%undo 2", "CannotUndo: there is no cell 2 to undo: it is undone already", "error")
        notebook.expect("%undo 99", "CannotUndo: there is no cell 99 to undo", "error")
        for after in (1, 9, 7):
            notebook.expect("%redo", f"forward again, after cell {after}")
        notebook.expect("x", "3")
        notebook.expect("%redo", "CannotUndo: there is nothing to redo", "error")
        assert notebook.run("%snapshot good").startswith("snapshot 'good' taken: #")
        notebook.run("x = 'spoilt'")
        notebook.expect("%undo good", "back at 'good'")
        notebook.expect("x", "3")
        notebook.expect("%undo bad", "CannotUndo: there is no snapshot called 'bad'", "error")
        assert "'good'" in notebook.run("%snapshots")
        history = notebook.run("%history")
        assert "spoilt" not in history and "x = 2" in history, history


def scene_without_the_kernel():
    """A cell that is nothing but `%undo` or `%redo` does not run in the kernel, and the client can't tell."""
    lines = ("%undo", "%redo", "%undo 1", " \n%redo\n", "%undo 99", "%redo")
    with Notebook() as notebook:
        notebook.run("x = 1")
        notebook.run("x = 2")
        alone = [notebook.messages(line) for line in lines]
        by_the_kernel = [notebook.messages(f"None\n{line.strip()}") for line in lines]
        for at, (one, other) in enumerate(zip(alone, by_the_kernel)):
            count = {"execution_count": at + 3}
            assert one[1] == ("execute_input", {"code": lines[at], **count}), one
            count = {"execution_count": at + 3 + len(lines)}
            expected = [(kind, {**content, **count} if "execution_count" in content else content) for kind, content in one]
            expected[1][1]["code"] = other[1][1]["code"]
            assert other == expected, (other, expected)
        notebook.run(
            "def broken(line): print('the kernel has run it')\n"
            "for name in ('undo', 'redo'): get_ipython().register_magic_function(broken, 'line', name)"
        )
        notebook.expect("None\n%undo", "the kernel has run it")
        notebook.expect("x = 3; len(In)", "18")
        notebook.expect("%undo", "back before cell 17")
        notebook.expect("x", "2")
        notebook.expect("%redo", "forward again, after cell 17")
        notebook.expect("x", "3")
        notebook.expect("%undo 16", "back before cell 16")
        notebook.expect("%redo", "forward again, after cell 21")
        notebook.expect("%redo", "CannotUndo: there is nothing to redo", "error")
        notebook.expect("%undo 99", "CannotUndo: there is no cell 99 to undo", "error")
        notebook.expect("%undo 18", "CannotUndo: there is no cell 18 to undo", "error")
        # Each has used its number up.
        notebook.expect("x, len(In)", "(3, 28)")


def scene_whole():
    """Output, errors, questions, an interrupt, a crash, a queue of cells: the client gets all replies."""
    with Notebook() as notebook:
        notebook.expect("print('out'); 6 * 7", "out\n42")
        notebook.expect("1 / 0", "ZeroDivisionError: division by zero", "error")
        content, heard = notebook.finish(notebook.send("name = input('who? '); name"), stdin="me")
        assert (content["status"], heard) == ("ok", "'me'"), (content, heard)
        # An interrupt ends a cell, and the snapshot stays.
        number = notebook.send("import time\nprint('in the loop', flush=True)\nwhile True: time.sleep(0.01)")
        while True:
            message = notebook.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "stream" and message["parent_header"]["msg_id"] == number:
                break
        notebook.manager.interrupt_kernel()
        reply = notebook.reply(number)
        assert reply["ename"] == "KeyboardInterrupt", reply
        notebook.expect("name", "'me'")
        # What waits behind a cell that fails is not run; what waits behind an undo is.
        numbers = [notebook.send(code) for code in ("name = 'other'", "%undo", "name", "1 / 0", "name")]
        answers = [notebook.finish(number) for number in numbers]
        assert [content["status"] for content, _ in answers] == ["ok", "ok", "ok", "error", "aborted"], answers
        assert answers[2][1] == "'me'", answers
        # A crash undoes its cell.
        heard = notebook.run("name = 'lost'; import os; os.abort()", "error")
        assert "is back before this cell" in heard, heard
        notebook.expect("name", "'me'")
        notebook.expect("%undo", "back before cell 11")
        # Completion, inspection and silent requests go through.
        reply = notebook.client.complete("nam", reply=True, timeout=PATIENCE)["content"]
        assert "name" in reply["matches"], reply
        reply = notebook.client.inspect("name", reply=True, timeout=PATIENCE)["content"]
        assert reply["found"], reply
        reply = notebook.client.kernel_info(reply=True, timeout=PATIENCE)["content"]
        assert reply["implementation"] == "ipython", reply
        assert "kernel subshells" not in reply.get("supported_features", []), reply
        deadline = time.monotonic() + PATIENCE
        # A beat that takes more than a second, on a busy machine, does not count.
        while not (notebook.client.is_alive() and notebook.client.hb_channel.is_beating()):
            assert time.monotonic() < deadline, "the front's heart does not beat"
            time.sleep(0.1)
        notebook.run("before_restart = 1")
        notebook.manager.restart_kernel()
        step("restarted")
        notebook.client.wait_for_ready(timeout=PATIENCE)
        notebook.expect("'before_restart' in globals()", "False")
        notebook.expect("%undo", "back before cell 1")


def scene_replies():
    """Replies that a kernel alone would lose, or an undo would take with it."""
    with Notebook() as notebook:
        client = notebook.client
        # A cell after one that has failed runs, however late the kernel notices that nothing waits.
        notebook.run("get_ipython().kernel.stop_on_error_timeout = 5")
        notebook.expect("1 / 0", "ZeroDivisionError: division by zero", "error")
        notebook.expect("6 * 7", "42")
        # The kernel knows no such request, and says nothing.
        reply = notebook.reply(notebook.send_other(client.shell_channel, "unknown_request"))
        assert reply["ename"] == "NoReply", reply
        # An interrupt between the end of a cell and its reply.
        interrupted = (
            "def send(stream, kind, *arguments, **options):\n"
            "    if kind == 'execute_reply':\n"
            "        session.send = whole\n"
            "        raise KeyboardInterrupt\n"
            "    return whole(stream, kind, *arguments, **options)\n"
            "session = get_ipython().kernel.session; whole, session.send = session.send, send"
        )
        heard = notebook.run(interrupted, "error")
        assert heard.startswith("NoReply: "), heard
        notebook.expect("'whole' in globals(), len(In)", "(True, 6)")
        notebook.expect("%undo 4", "back before cell 4")
        notebook.expect("'whole' in globals()", "False")
        # A request on the control channel is under way at an undo.
        notebook.run(
            "import threading\n"
            "get_ipython().kernel.control_handlers['kernel_info_request'] = lambda *_: threading.Event().wait()"
        )
        number = notebook.send_other(client.control_channel, "kernel_info_request")
        notebook.wait_for_state("busy", number)
        notebook.expect("%undo", "back before cell 8")
        assert notebook.control_reply(number)["status"] == "ok"
        # A widget waits for the kernel's word that it has heard its message.
        for at in range(15):
            notebook.run("x = 1")
            undo = notebook.send("%undo")
            time.sleep(at * 0.004)
            comm = notebook.send_other(client.shell_channel, "comm_msg", comm_id="none", data={})
            notebook.wait_for_state("idle", undo, comm)
            step(f"comm {at}")


def scene_losses():
    """What an undo can't bring back is said, and only what the cells have made."""
    with Notebook() as notebook:
        assert notebook.run("x = 1") == ""
        notebook.run("import socket; a = socket.create_server(('127.0.0.1', 0))")
        notebook.run("b = socket.create_connection(a.getsockname()); file = open('made', 'w')")
        heard = notebook.run("x = 2")
        assert heard.count("not rolled back: ") == heard.count("\n") + 1 >= 2, heard
        assert "made" in heard and "snapshot-kernel" not in heard, heard
        assert notebook.run("x = 3") == ""
        notebook.run("%undo")
        assert notebook.run("x") == "2"
        # The connection that was made for the undo is the front's.
        assert notebook.run("x = 4") == ""


def scene_random_numbers():
    """A cell that runs again after an undo draws the numbers that it drew."""
    with Notebook() as notebook:
        notebook.run("import random")
        first = notebook.run("random.random()")
        notebook.run("%undo")
        notebook.expect("random.random()", first)


def scene_budget():
    """The snapshots hold no more than they may; the oldest go first, and that is said."""
    with Notebook("--memory", "96M") as notebook:
        for number in range(8):
            notebook.run(f"block = bytearray(os.urandom(1 << 20) * 32) if {number} else __import__('builtins')")
            if number == 0:
                notebook.run("import os")
        deadline = time.monotonic() + PATIENCE
        while True:
            # Memory is looked at beside the cells.
            listed = notebook.run("%snapshots").splitlines()
            held = listed[-1].split()[3]
            if held.endswith("M") and float(held[:-1]) <= 96:
                break
            assert time.monotonic() < deadline, listed
        assert 2 <= len(listed) - 1 <= 6, listed
        heard = notebook.run("%undo 2", "error")
        assert "were dropped to stay within the memory budget" in heard, heard
        notebook.expect("%snapshots --budget much", "CannotUndo: 'much' is no size: write 512M or 4G", "error")
        notebook.expect("%snapshots --budget 1G", "snapshots may hold 1.0G")
        assert notebook.run("%undo").startswith("back before cell ")
        # A client may be faster than a look at the memory of all.
        notebook.expect("%snapshots --budget 4G", "snapshots may hold 4.0G")
        numbers = [notebook.send("block[0] ^= 1") for _ in range(230)]
        for number in numbers:
            assert notebook.finish(number)[0]["status"] == "ok"
        count = int(notebook.run("%snapshots").splitlines()[-1].split()[0])
        assert 150 <= count <= 202, count


def scene_refusal():
    """A kernel that nobody stands in front of says so."""
    manager = KernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    step("ready")
    try:
        reply = client.execute("%load_ext snapshot", reply=True, timeout=PATIENCE)["content"]
        assert reply["status"] == "error" and "snapshot.kernelspec install" in reply["evalue"], reply
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def scene_without_namespaces():
    """Where a kernel would come back with other numbers it runs, and can't be undone."""
    os.environ["CARGO_SNAPSHOT_ISOLATE"] = "never"
    with Notebook() as notebook:
        assert "would come back with other process numbers" in notebook.run("x = 1")
        notebook.expect("x", "1")
        assert "would come back with other process numbers" in notebook.run("%undo", "error")
        assert "would come back with other process numbers" in notebook.run("%snapshot here", "error")
        notebook.expect("x", "1")


def scene_killed():
    """When the front is killed, nothing is left."""
    notebook = Notebook()
    notebook.run("import os")
    launcher = notebook.run("os.environ['SNAPSHOT_KERNEL_FILE']")
    assert launcher
    notebook.client.stop_channels()
    os.kill(notebook.manager.provisioner.process.pid, signal.SIGKILL)
    notebook.manager.provisioner.process.wait()
    step("killed")
    notebook.manager.cleanup_resources()


# Cells of the random runs: they build on each other, in lists, dictionaries, numpy arrays and threads.
CELLS = (
    "total += {n}",
    "values.append({n}); values.sort()",
    "names['k{n}'] = total; names.pop('k{m}', None)",
    "array[{m}::{k}] += {n}",
    "product = array[:64].reshape(8, 8) @ array[-64:].reshape(8, 8)",
    "def f(x, y={n}): return x * y + total",
    "total = f(total) % 1000003",
    "random.seed({n}); drawn = [random.random() for _ in range({m})]",
    "drawn.append(random.random()); array[0] += drawn[-1]",
    "tasks.put({n}); done.get()",
    "generator = (v * {n} for v in range(100)); next(generator)",
    "total += next(generator, 0)",
)
BEGIN = """
import hashlib, queue, random, threading
import numpy
random.seed(1)
total, values, names, drawn, sums = 1, [], {}, [], []
array = numpy.arange(200000, dtype=float)
product = numpy.zeros((8, 8))
generator = iter(())
def f(x, y=1): return x
tasks, done = queue.Queue(), queue.Queue()
def work():
    while True:
        sums.append(tasks.get())
        done.put(None)
threading.Thread(target=work, daemon=True).start()
def state():
    parts = (total, values, names, drawn, f(3), sums, random.random() if not random.seed(total) else 0)
    return hashlib.sha1(repr(parts).encode() + array.tobytes() + product.tobytes()).hexdigest()
"""


def scene_random_runs():
    """Random cells, undos and redos leave the kernel as a run of the cells that stand would."""
    runs, length = int(os.environ.get("NOTEBOOK_RUNS", "2")), 14
    seed = int(sys.argv[2])
    with Notebook() as notebook:
        for run in range(runs):
            chance = random.Random(seed + run)
            play_at_random(notebook, chance, length)
            step(f"run {run} of seed {seed + run}")


def play_at_random(notebook, chance, length):
    """One run, and the clean run that it is compared with."""
    notebook.run(BEGIN)
    # The cells that stand, as (number, code); and where each undo came from.
    standing, left, acts = [], [], 0
    while acts < length:
        act = chance.random()
        acts += 1
        if act < 0.5 or not standing:
            code = chance.choice(CELLS).format(n=chance.randint(1, 99), m=chance.randint(1, 9), k=chance.randint(10, 99))
            content, heard = notebook.finish(notebook.send(code, stop_on_error=False))
            standing.append((content["execution_count"], code))
        elif act < 0.65:
            notebook.run("%undo")
            left.append(list(standing))
            standing.pop()
        elif act < 0.8:
            at = chance.randrange(len(standing))
            notebook.run(f"%undo {standing[at][0]}")
            left.append(list(standing))
            del standing[at:]
        elif left:
            notebook.run("%redo")
            standing = left.pop()
    seen = notebook.run("state()")
    notebook.run(BEGIN)
    for _, code in standing:
        notebook.finish(notebook.send(code, stop_on_error=False))
    clean = notebook.run("state()")
    assert seen == clean, standing


RAW_FORK = """
import os, time
begin = time.monotonic()
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
(time.monotonic() - begin) * 1000
"""


def scene_figures():
    """How long an undo and a redo take with 1 GB of numpy's and its threads, as the client sees it."""
    os.environ["OPENBLAS_NUM_THREADS"] = "8"
    rounds = int(os.environ.get("NOTEBOOK_ROUNDS", "20"))
    with Notebook("--memory", "8G") as notebook:
        notebook.run("import numpy, os; a = numpy.ones(1 << 27); b = numpy.ones((2000, 2000)); c = b @ b")
        print("threads:", notebook.run("len(os.listdir('/proc/self/task'))"))
        for what, cell in (
            ("writes nothing", "c = b @ b"),
            ("writes a tenth, in one piece", "a[: 1 << 24] += 1; c = b @ b"),
            ("writes to every second page", "a[::1024] += 1; c = b @ b"),
        ):
            times = {"empty cell": [], "undo": [], "redo": [], "raw fork and wait": []}
            for _ in range(rounds):
                notebook.run(cell)
                for name, code in (("undo", "%undo"), ("redo", "%redo"), ("undo", "%undo"), ("empty cell", "None")):
                    # The kernel of the system frees what the last one has left.
                    time.sleep(0.3)
                    begin = time.monotonic()
                    content, heard = notebook.finish(notebook.send(code))
                    times[name].append((time.monotonic() - begin) * 1000)
                    assert content["status"] == "ok", heard
                times["raw fork and wait"].append(float(notebook.run(RAW_FORK)))
            for name, each in times.items():
                each.sort()
                quarter = len(each) // 4
                middle, low, high = each[len(each) // 2], each[quarter], each[-quarter - 1]
                spread = f"least {each[0]:.1f}, quartiles {low:.1f} to {high:.1f}"
                print(f"{what}: {name}: median {middle:.1f} ms, {spread}", flush=True)


if __name__ == "__main__":
    globals()[f"scene_{sys.argv[1]}"]()
    print(sys.argv[1], "is as it should be")
