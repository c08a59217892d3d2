"""The session that the kernel runs in: its launcher, its control socket, its events.

Context: the front, which is no part of the session and is never rolled back.
"""

import asyncio
import ctypes
import glob
import json
import os
import re
import signal
import sys
import tempfile

from .._launcher import launcher

# What the notebook shows anyway, or its user has asked for.
_EXPECTED = re.compile(
    rb"\[snapshot\] (#\d+ .*taken in|reverted to #|the branch after #|#\d+ dropped|committed: )"
)
_PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """The session has refused something; the kernel goes on untouched."""

    def __init__(self, cause, help_text):
        super().__init__(f"{cause}; {help_text}")


class Session:
    """A session with a kernel in it. `on_event` is called with each event, as docs/design.md has them."""

    def __init__(self, on_event):
        self.launcher = None
        # The same numbers after a revert: without them a kernel's sockets do not work again.
        self.same_ids = False
        self._on_event = on_event
        self._door = None
        self._started = asyncio.get_running_loop().create_future()
        self._tasks = []

    async def start(self, command, environment, files=False):
        """Starts the command under a launcher, and returns once its session stands.

        Raises `FileNotFoundError` if there is no launcher, `ChildProcessError` if it gives up.
        """
        reading, writing = os.pipe()
        arguments = [launcher(), "--pty", "never", "--on-exit", "commit", "--on-interrupt", "pass"]
        arguments += [] if files else ["--no-files"]
        arguments += ["--events", f"/proc/self/fd/{writing}", "--"]
        libc = ctypes.CDLL(None)

        def die_with_the_front():
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        try:
            self.launcher = await asyncio.create_subprocess_exec(
                *arguments,
                *command,
                env=environment,
                pass_fds=[writing],
                # Ctrl+C for the front's group is passed on once.
                start_new_session=True,
                preexec_fn=die_with_the_front,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        finally:
            os.close(writing)
        self._tasks = [
            asyncio.ensure_future(self._hear_events(reading)),
            asyncio.ensure_future(self._pass_errors_on()),
        ]
        ended = asyncio.ensure_future(self.launcher.wait())
        await asyncio.wait([ended, self._started], return_when=asyncio.FIRST_COMPLETED)
        if not self._started.done():
            raise ChildProcessError(f"the launcher gave up with status {ended.result()}")

    async def ended(self):
        """Waits until it is over. Returns the status for the front's own exit."""
        status = await self.launcher.wait()
        # All that was said comes through.
        await asyncio.wait(self._tasks, timeout=1)
        return status if status >= 0 else 128 - status

    def signal(self, number):
        """Sends the launcher a signal, if it is there."""
        try:
            self.launcher.send_signal(number)
        except ProcessLookupError:
            pass

    async def ask(self, command, **fields):
        """Asks the session for something, as a second terminal does. Returns the answer's content.

        Raises `Refused` with the session's reason.
        """
        reader, writer = await asyncio.open_unix_connection(self._find_door(), limit=1 << 24)
        try:
            writer.write(json.dumps({"command": command, **fields}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            raise Refused("the session is ending", "start it again")
        answer = json.loads(line)
        if answer["answer"] == "refused":
            raise Refused(answer["with"]["cause"], answer["with"]["help"])
        return answer["with"]

    def _find_door(self):
        if self._door is None:
            name = f"{self.launcher.pid}.sock"
            for directory in _directories():
                path = os.path.join(directory, name)
                if os.path.exists(path) and os.stat(path).st_uid == os.geteuid():
                    self._door = path
                    break
            else:
                raise Refused("its control socket is not found", "set XDG_RUNTIME_DIR to a directory of yours")
        return self._door

    async def _hear_events(self, descriptor):
        reader = asyncio.StreamReader(limit=1 << 24)
        protocol = asyncio.StreamReaderProtocol(reader)
        pipe = os.fdopen(descriptor, "rb")
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        while True:
            line = await reader.readline()
            if not line:
                return
            event = json.loads(line)
            if event["event"] == "started" and not self._started.done():
                self.same_ids = event["tier"] == "full"
                self._started.set_result(None)
            self._on_event(event)

    async def _pass_errors_on(self):
        """What the kernel and its launcher say on stderr, without a line for each cell."""
        while True:
            try:
                line = await self.launcher.stderr.readline()
            except ValueError:
                # A line without an end.
                line = await self.launcher.stderr.read(1 << 16)
            if not line:
                return
            if not _EXPECTED.match(line):
                sys.stderr.buffer.write(line)
                sys.stderr.flush()


def _directories():
    """Where launchers put their sockets."""
    name = f"cargo-snapshot-{os.geteuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        yield os.path.join(runtime, "cargo-snapshot")
    for root in (tempfile.gettempdir(), "/tmp"):
        yield os.path.join(root, name)
        yield from glob.glob(os.path.join(glob.escape(root), f"{name}-*"))
