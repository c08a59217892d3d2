"""Guest: CPython with children of `subprocess` and `asyncio`. A command a line; each child
ends with the status that it reads from its stdin."""

import asyncio
import os
import subprocess
import sys

SCRIPT = "read status; exit $status"
workers = []


def answer(text):
    print(f"ok {text}".rstrip(), flush=True)


async def run_two():
    """Two children at once, watched by pidfds; they end when their stdin does."""
    both = [
        await asyncio.create_subprocess_exec(
            "sh", "-c", f"read line; exit {number}", stdin=asyncio.subprocess.PIPE
        )
        for number in (3, 4)
    ]
    answer(" ".join(str(one.pid) for one in both))
    # A thread, so that the loop goes on watching.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for one in both:
        one.stdin.write(b"\n")
    codes = await asyncio.gather(*(one.wait() for one in both))
    answer(" ".join(map(str, codes)))


for line in iter(sys.stdin.readline, ""):
    match line.split():
        case ["start"]:
            workers.append(subprocess.Popen(["sh", "-c", SCRIPT], stdin=subprocess.PIPE))
            answer(workers[-1].pid)
        case ["end", number, status]:
            # Written anew in each branch: the pipe is one for all of them.
            os.write(workers[int(number)].stdin.fileno(), f"{status}\n".encode())
            answer("")
        case ["poll", number]:
            answer(workers[int(number)].poll())
        case ["wait", number]:
            answer(workers[int(number)].wait(timeout=20))
        case ["asyncio"]:
            asyncio.run(run_two())
        case other:
            print(f"err {other}", flush=True)
