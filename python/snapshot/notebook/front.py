"""Stands between the client and the kernel, and is never rolled back.

It holds the client's connection, and what a client must see once: the order of its requests, a reply to
each, numbers of cells that only grow. The kernel is an unmodified ipykernel in a session of its own, and
has one request at a time; so between two cells it is idle, and can be taken and reverted from outside.
"""

import asyncio
import contextlib

from jupyter_client.session import Session as Signer

from .connection import ClientSide, KernelSide, Message
from .undo import CannotUndo

# Run while a cell runs: widgets of the cell may wait for them.
_AT_ONCE = ("comm_open", "comm_msg", "comm_close")
# How long the kernel's word that it is idle may take behind its reply, or it was lost.
_IDLE_SECONDS = 5
# The same for the first word on a new connection, before it is asked for again; and for the reply.
_WORD_SECONDS = 0.02
_REPLY_SECONDS = 5
# Time for what nobody should wait for.
_QUIET_SECONDS = 0.5


class WentBack(Exception):
    """The kernel has crashed, or somebody has reverted it, and is back before the request."""


class NoReply(Exception):
    """The kernel is idle, and has not replied."""


class Waiting:
    """A request that the kernel has. `reply` and `idle` are its messages, once they are there."""

    def __init__(self, idents):
        self.idents = idents
        loop = asyncio.get_running_loop()
        self.reply, self.idle = loop.create_future(), loop.create_future()

    def fail(self, error):
        """There will be none."""
        for future in (self.reply, self.idle):
            if not future.done():
                future.set_exception(error)
            # Nobody may be waiting.
            future.exception()


class Front:
    """Relays messages; `acts` does what the cells of `%undo` and its like ask for."""

    def __init__(self, context, path, place):
        self.client = ClientSide(context, path)
        self.signer = Signer(
            key=self.client.info["key"].encode(),
            signature_scheme=self.client.info["signature_scheme"],
        )
        self.acts = None
        # The cell numbers that the client has seen.
        self.count = 0
        self._context, self._place = context, place
        self._kernel, self._sides = None, 0
        self._is_up = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._queue = asyncio.Queue()
        # By the request's id.
        self._waiting = {}
        # Requests that the kernel has not answered.
        self._control = {}
        # On the kernel's way, and not answered for: comms, by their ids.
        self._open_comms = {}
        self._comms_done = asyncio.Event()
        self._comms_done.set()
        self._asker = []

    def begin(self):
        """Begins to serve; returns the tasks."""
        loops = [self._beat(), self._serve(), self._hear_shell(), self._hear_control(), self._hear_answers()]
        return [asyncio.ensure_future(task) for task in loops]

    async def close(self):
        """The kernel has ended: passes its last replies on, and closes."""
        for _ in range(100):
            if not self._control:
                break
            await asyncio.sleep(0.01)
        if self._kernel is not None:
            await self._kernel.close()
        self.client.close()

    # The kernel's side.

    async def connect(self, code):
        """Connects to the kernel, as it is now, and has it run this code; returns its count of cells."""
        async with self._connecting:
            return await self._connect(code)

    async def _connect(self, code):
        self._is_up.clear()
        # Each with a name of its own: as the kernel comes back, the old side may connect to it once more. If
        # both had the same name, the kernel would hand the new one's place over to it.
        self._sides += 1
        identity = f"snapshot-front-{self._sides}".encode()
        side = KernelSide(self._context, self._place, identity, self._hear_kernel)
        old, self._kernel = self._kernel, side
        # As it is now, the kernel has not heard of these.
        for request in [request for request in self._control.values() if not request.is_done]:
            await side.control.send_multipart(request.frames([]))
        if old is not None:
            await old.close()
        await self._comms_over()
        # What the kernel says before it has heard of the subscription is lost: ask until its word comes.
        waiting = await self._ask(code)
        while not (waiting.reply.done() and waiting.idle.done()):
            waiting = await self._ask(code)
        reply = waiting.reply.result().content
        self._is_up.set()
        return reply, _next_cell(reply)

    async def _ask(self, code):
        """Has the kernel run some code, unseen by the client."""
        content = {
            "code": code,
            "silent": True,
            "store_history": False,
            "allow_stdin": False,
            "user_expressions": {"count": "get_ipython().execution_count"},
        }
        message = self.signer.msg("execute_request", content)
        waiting = self._waiting[message["msg_id"]] = Waiting([])
        try:
            await self._kernel.shell.send_multipart(self.signer.serialize(message))
            await asyncio.wait([waiting.reply], timeout=_REPLY_SECONDS)
            await asyncio.wait([waiting.idle], timeout=_WORD_SECONDS)
        finally:
            del self._waiting[message["msg_id"]]
        return waiting

    async def ask_kernel(self, code):
        """The same between two cells; returns its count of cells when it is done."""
        waiting = await self._ask(code)
        await asyncio.wait([waiting.reply], timeout=_IDLE_SECONDS)
        is_there = waiting.reply.done() and not waiting.reply.exception()
        return _next_cell(waiting.reply.result().content) if is_there else 0

    async def _hear_kernel(self, channel, message):
        parent = message.parent.get("msg_id")
        if channel == "iopub":
            waiting = self._waiting.get(parent)
            state = message.content["execution_state"] if message.kind == "status" else ""
            if state == "busy" and waiting is not None:
                # The client has heard it already.
                return
            if state == "idle":
                if parent in self._control:
                    self._control[parent].is_done = True
                if parent in self._open_comms:
                    del self._open_comms[parent]
                    if not self._open_comms:
                        self._comms_done.set()
                if waiting is not None:
                    # The client hears it behind the reply.
                    if not waiting.idle.done():
                        waiting.idle.set_result(message)
                    return
            if message.kind == "status" and message.parent.get("session") == self.signer.session:
                # Of a request of the front's own; it may have asked again meanwhile.
                return
            await self.client.iopub.send_multipart(message.frames(message.idents))
        elif channel == "shell":
            waiting = self._waiting.get(parent)
            if waiting is not None and not waiting.reply.done():
                waiting.reply.set_result(message)
        elif channel == "control":
            request = self._control.pop(parent, None)
            if request is not None:
                await self._answer(self.client.control, request.idents, message)
        elif channel == "stdin":
            await self.client.stdin.send_multipart(message.frames(self._asker))

    def went_back(self, how):
        """The kernel is back at a snapshot, and nobody here has asked for it: no reply will come."""
        for waiting in list(self._waiting.values()):
            waiting.fail(WentBack(how))

    async def _comms_over(self):
        """The kernel is another one: it says no more about these, and a widget sends nothing until it hears that
        its last message is done."""
        comms, self._open_comms = self._open_comms, {}
        self._comms_done.set()
        for message in comms.values():
            await self.publish("status", {"execution_state": "idle"}, message)

    @contextlib.contextmanager
    def held(self):
        """Nothing goes to the kernel meanwhile that a revert would take with it."""
        self._is_up.clear()
        try:
            yield
        finally:
            if not self._connecting.locked():
                self._is_up.set()

    # The client's side.

    async def _beat(self):
        while True:
            await self.client.hb.send(await self.client.hb.recv())

    def _read(self, frames):
        """The message, if it is one of the client's."""
        try:
            message = Message(frames)
            self.signer.deserialize(message.parts, content=False)
        except (ValueError, KeyError, TypeError):
            return None
        return message

    async def _hear_shell(self):
        while True:
            message = self._read(await self.client.shell.recv_multipart())
            if message is None:
                continue
            if message.kind in _AT_ONCE:
                await self._is_up.wait()
                self._open_comms[message.id] = message
                self._comms_done.clear()
                await self._kernel.shell.send_multipart(message.frames([]))
                self.acts.changed()
            else:
                self._queue.put_nowait(message)

    async def _hear_control(self):
        while True:
            message = self._read(await self.client.control.recv_multipart())
            if message is None:
                continue
            self._control[message.id] = message
            if self._kernel is not None:
                await self._kernel.control.send_multipart(message.frames([]))

    async def _hear_answers(self):
        while True:
            message = self._read(await self.client.stdin.recv_multipart())
            if message is not None and self._kernel is not None:
                await self._kernel.stdin.send_multipart(message.frames([]))

    async def _serve(self):
        """One request after the other, as a kernel does."""
        while True:
            message = await self._next()
            try:
                if message.is_aborted:
                    await self._abort(message)
                else:
                    await self._serve_one(message)
            except WentBack as how:
                # It never is silent: the client waits for a reply.
                await self.fail(message, "KernelWentBack", str(how))
            except NoReply as error:
                if _is_cell(message):
                    # It has run, up to there.
                    self.count = max(self.count, await self.ask_kernel("None") - 1)
                    self.acts.after_cell({"execution_count": self.count})
                await self.fail(message, "NoReply", str(error))

    async def _next(self):
        try:
            return await asyncio.wait_for(self._queue.get(), _QUIET_SECONDS)
        except asyncio.TimeoutError:
            await self.acts.while_quiet()
            return await self._queue.get()

    async def _serve_one(self, message):
        is_cell = _is_cell(message)
        await self._is_up.wait()
        await self.publish("status", {"execution_state": "busy"}, message)
        if is_cell:
            await self._comms_done.wait()
            await self.acts.before_cell(message)
            # The kernel may have crashed meanwhile.
            await self._is_up.wait()
            ask = self.acts.asked_by(message.content)
            if ask is not None:
                await self._serve_alone(message, ask)
                return
        else:
            # What completes and inspects runs the user's code, too.
            self.acts.changed_by(message.kind)
        waiting = self._waiting[message.id] = Waiting(message.idents)
        self._asker = message.idents
        try:
            await self._kernel.shell.send_multipart(self._for_kernel(message))
            reply = await self._reply(waiting)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting.idle), _IDLE_SECONDS)
            if is_cell:
                await self._finish_cell(message, reply)
            else:
                await self._answer(self.client.shell, message.idents, reply)
                await self.publish("status", {"execution_state": "idle"}, message)
        finally:
            del self._waiting[message.id]

    def _for_kernel(self, message):
        """What waits behind a cell that fails the front aborts. The kernel must not: for a moment it would
        abort what comes later, too."""
        if message.kind == "execute_request" and message.content.get("stop_on_error", True):
            message = message.with_content({**message.content, "stop_on_error": False}, self.signer)
        return message.frames([])

    @staticmethod
    async def _reply(waiting):
        """The kernel's reply. Where it says that it is idle and none has come, none will: it knows no such request,
        or an interrupt came between the cell's end and its reply."""
        await asyncio.wait([waiting.reply, waiting.idle], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([waiting.reply], timeout=_REPLY_SECONDS)
        if not waiting.reply.done():
            raise NoReply("the kernel has ended this request without a reply")
        return waiting.reply.result()

    async def _finish_cell(self, message, reply):
        content = reply.content
        self.count = max(self.count, content.get("execution_count") or 0)
        asked = [part for part in content.get("payload", ()) if part.get("source") == "snapshot"]
        if not asked:
            self.acts.after_cell(content)
            self._abort_behind(message, content)
            await self._answer(self.client.shell, message.idents, reply)
            await self.publish("status", {"execution_state": "idle"}, message)
            return
        content["payload"] = [part for part in content["payload"] if part not in asked]
        await self._carry_out(message, asked, content)

    async def _serve_alone(self, message, ask):
        """A cell that the kernel does not run. The client hears of it what it would hear if it did."""
        self.count += 1
        count = {"execution_count": self.count}
        await self.publish("execute_input", {"code": message.content["code"], **count}, message)
        content = {"status": "ok", **count, "user_expressions": {}, "payload": []}
        if not await self._carry_out(message, [ask], content):
            await self.acts.has_its_number(self.count)

    async def _carry_out(self, message, asked, content):
        """Does what a cell asks for, and replies; returns whether it could be done."""
        try:
            text = await self.acts.carry_out(asked, content, self.count)
        except CannotUndo as error:
            await self.fail(message, "CannotUndo", str(error))
            return False
        await self.publish("stream", {"name": "stdout", "text": text + "\n"}, message)
        await self._send("execute_reply", content, message)
        await self.publish("status", {"execution_state": "idle"}, message)
        return True

    async def fail_control(self, how):
        """The kernel has crashed, perhaps for one of these: it does not get them again."""
        requests, self._control = self._control, {}
        for request in requests.values():
            content = {"status": "error", "ename": "KernelWentBack", "evalue": how, "traceback": []}
            reply = self.signer.msg(request.kind.replace("_request", "_reply"), content, parent=request.header)
            await self.client.control.send_multipart(self.signer.serialize(reply, request.idents))

    async def fail(self, message, name, text):
        """The cell ends with an error of the front's."""
        error = {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
        content = {"status": "error", "execution_count": self.count, **error}
        self._abort_behind(message, content)
        if message.kind == "execute_request":
            await self.publish("error", error, message)
        await self._send(message.kind.replace("_request", "_reply"), content, message)
        await self.publish("status", {"execution_state": "idle"}, message)

    def _abort_behind(self, message, reply):
        """After an error the requests that wait are not run, if the client wishes so. Those that it sends when it
        has heard of the error are."""
        if message.kind != "execute_request" or reply["status"] != "error":
            return
        if not message.content.get("stop_on_error", True):
            return
        for other in [self._queue.get_nowait() for _ in range(self._queue.qsize())]:
            other.is_aborted = other.kind == "execute_request"
            self._queue.put_nowait(other)

    async def _abort(self, message):
        await self.publish("status", {"execution_state": "busy"}, message)
        await self._send("execute_reply", {"status": "aborted", "execution_count": self.count}, message)
        await self.publish("status", {"execution_state": "idle"}, message)

    async def publish(self, kind, content, parent):
        """Says something to all clients, as the kernel would while it serves `parent`."""
        message = self.signer.msg(kind, content, parent=parent.header)
        frames = self.signer.serialize(message, [f"kernel.snapshot.{kind}".encode()])
        await self.client.iopub.send_multipart(frames)

    async def _send(self, kind, content, parent):
        message = self.signer.msg(kind, content, parent=parent.header)
        await self.client.shell.send_multipart(self.signer.serialize(message, parent.idents))

    async def _answer(self, socket, idents, message):
        if message.kind == "kernel_info_reply":
            message = self._without_subshells(message)
        await socket.send_multipart(message.frames(idents))

    def _without_subshells(self, message):
        """Requests on other threads would run across the snapshots of cells."""
        content = message.content
        features = content.get("supported_features", [])
        if "kernel subshells" not in features:
            return message
        content["supported_features"] = [other for other in features if other != "kernel subshells"]
        changed = self.signer.msg(message.kind, content, parent=message.parent, header=message.header)
        return Message(self.signer.serialize(changed))


def _is_cell(message):
    content = message.content if message.kind == "execute_request" else {}
    silent = content.get("silent", False)
    return bool(content) and not silent and content.get("store_history", not silent)


def _next_cell(reply):
    """The number of the kernel's next cell, by its reply to a request of the front's; 0 if it does not say."""
    value = reply.get("user_expressions", {}).get("count", {})
    return int(value["data"]["text/plain"]) if value.get("status") == "ok" else 0
