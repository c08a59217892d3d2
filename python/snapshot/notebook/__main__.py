"""`python -m snapshot.notebook -f FILE`: a Python kernel whose cells can be undone.

Starts an unmodified ipykernel in a session, and stands between it and the client. Jupyter starts this by
the kernelspec that `python -m snapshot.kernelspec install` installs.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import zmq.asyncio

from . import memory
from .acts import Acts
from .connection import write_kernel_file
from .front import Front
from .session import Session

# What makes the extension load, and the hooks of snapshots taken from outside.
_LOAD = "get_ipython().extension_manager.load_extension('snapshot')"


def main(arguments=None):
    """Runs the front until the kernel ends. Returns the kernel's status."""
    parser = argparse.ArgumentParser(prog="python -m snapshot.notebook", description=__doc__.splitlines()[0])
    parser.add_argument("-f", dest="connection_file", required=True, metavar="FILE", help="Jupyter's connection file")
    parser.add_argument(
        "--memory",
        type=memory.parse_size,
        metavar="SIZE",
        help="how much memory the snapshots may hold, such as 4G [default: a quarter of the machine's]",
    )
    parser.add_argument(
        "kernel", nargs="*", help="the kernel's command [default: this Python's ipykernel]", metavar="COMMAND"
    )
    options = parser.parse_args(arguments)
    return asyncio.run(_run(options))


async def _run(options):
    with _directory() as directory:
        own_file, place = os.path.join(directory, "kernel.json"), os.path.join(directory, ".kernel")
        context = zmq.asyncio.Context()
        front = Front(context, options.connection_file, place)
        write_kernel_file(own_file, place, front.client.info)
        command = options.kernel or [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
        session = Session(lambda event: acts.hear(event))
        acts = front.acts = Acts(front, session, options.memory or memory.machine_bytes() // 4, place)
        parent = os.getppid()
        environment = dict(os.environ, SNAPSHOT_KERNEL_FILE=own_file)
        # The kernel's parent is not Jupyter: the front watches that.
        environment.pop("JPY_PARENT_PID", None)
        tasks = []
        try:
            await session.start([*command, "-f", own_file], environment)
            _pass_signals_on(session)
            ended = asyncio.ensure_future(session.ended())
            tasks = [*front.begin(), asyncio.ensure_future(acts.begin(_LOAD))]
            if "JPY_PARENT_PID" in os.environ:
                tasks.append(asyncio.ensure_future(_outlive_not(parent, session)))
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
            if broken and not ended.done():
                session.signal(signal.SIGTERM)
                await ended
                raise broken[0].exception()
            return await ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await front.close()
            context.term()


@contextlib.contextmanager
def _directory():
    """A directory that is gone when the front is, also when that is killed: the kernel's key is in it."""
    directory = tempfile.mkdtemp(prefix="snapshot-kernel-")
    remover = subprocess.Popen(
        ["sh", "-c", 'read -r _; rm -rf -- "$1"', "snapshot-kernel", directory],
        stdin=subprocess.PIPE,
        # Jupyter kills the front's group.
        start_new_session=True,
    )
    try:
        yield directory
    finally:
        remover.stdin.close()
        remover.wait()


def _pass_signals_on(session):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, session.signal, number)


async def _outlive_not(parent, session):
    """Ends the kernel when Jupyter is gone, as ipykernel does."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    session.signal(signal.SIGTERM)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
