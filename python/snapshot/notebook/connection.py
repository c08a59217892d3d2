"""The two sides of the front: the client's five sockets, and those of the kernel.

What a client may rely on for the life of a kernel lies on its side, and is never rolled back. The kernel's
side is made anew after each revert: the kernel's own sockets are then as they were at the snapshot.
"""

import asyncio
import json
import os
import uuid

import zmq
import zmq.asyncio

CHANNELS = ("shell", "control", "stdin", "iopub", "hb")
DELIMITER = b"<IDS|MSG>"
# Of a message behind its delimiter: signature, header, parent header, metadata, content.
SIGNATURE, HEADER, PARENT, CONTENT = 0, 1, 2, 4


class Message:
    """A message as it came: whom to answer, and the signed parts, which are passed on as they are."""

    def __init__(self, frames):
        at = frames.index(DELIMITER)
        self.idents, self.parts = frames[:at], frames[at + 1 :]
        if len(self.parts) <= CONTENT:
            raise ValueError("a message has five parts or more")
        self.header = json.loads(self.parts[HEADER])
        self.kind, self.id = self.header["msg_type"], self.header["msg_id"]
        # It waited behind a cell that failed.
        self.is_aborted = False
        # The kernel has served it, though its reply may be under way.
        self.is_done = False

    @property
    def parent(self):
        """The header of the message that this one answers; empty if there is none."""
        return json.loads(self.parts[PARENT])

    @property
    def content(self):
        """As the sender has written it."""
        return json.loads(self.parts[CONTENT])

    def with_content(self, content, signer):
        """The same message with another content."""
        parts = list(self.parts)
        parts[CONTENT] = json.dumps(content).encode()
        parts[SIGNATURE] = signer.sign(parts[HEADER : CONTENT + 1])
        return Message([*self.idents, DELIMITER, *parts])

    def frames(self, idents):
        """To be sent on."""
        return [*idents, DELIMITER, *self.parts]


class ClientSide:
    """The sockets of the connection file, bound."""

    _TYPES = {"shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "iopub": zmq.PUB, "hb": zmq.REP}

    def __init__(self, context, path):
        with open(path, encoding="utf-8") as file:
            self.info = json.load(file)
        if self.info.get("curve_secretkey"):
            raise ValueError("the connection is to be encrypted (CURVE), and the snapshot kernel can't do that")
        self._ipc_files = []
        ports = {}
        for channel in CHANNELS:
            socket = context.socket(self._TYPES[channel])
            socket.linger = 1000
            if socket.type == zmq.ROUTER:
                socket.router_handover = 1
            ports[f"{channel}_port"] = self._bind(socket, channel)
            setattr(self, channel, socket)
        if any(self.info.get(name) != port for name, port in ports.items()):
            self._write(path, ports)

    def _bind(self, socket, channel):
        ip, port = self.info["ip"], self.info.get(f"{channel}_port", 0)
        if self.info.get("transport", "tcp") == "ipc":
            # As jupyter_client numbers them.
            while not port:
                number = CHANNELS.index(channel) + 1
                while os.path.exists(f"{ip}-{number}"):
                    number += len(CHANNELS)
                port = number
            self._ipc_files.append(f"{ip}-{port}")
            socket.bind(f"ipc://{ip}-{port}")
            return port
        if port:
            socket.bind(f"tcp://{ip}:{port}")
            return port
        return socket.bind_to_random_port(f"tcp://{ip}")

    def _write(self, path, ports):
        """Tells the client which ports were free, as a kernel does."""
        self.info.update(ports)
        fresh = f"{path}.{uuid.uuid4().hex}"
        with open(fresh, "w", encoding="utf-8", opener=_for_owner) as file:
            json.dump(self.info, file, indent=2)
        os.replace(fresh, path)

    def close(self):
        """Sends what is left, and closes."""
        for channel in CHANNELS:
            getattr(self, channel).close()
        for path in self._ipc_files:
            if os.path.exists(path):
                os.unlink(path)


class KernelSide:
    """Sockets connected to the kernel, as it is since its start or the last revert."""

    _TYPES = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}

    def __init__(self, context, place, identity, hear):
        self.tasks = []
        for channel, kind in self._TYPES.items():
            socket = context.socket(kind)
            socket.linger = 0
            # What the kernel says to all must wait here, and not be dropped.
            socket.rcvhwm = socket.sndhwm = 0
            if kind == zmq.SUB:
                socket.subscribe(b"")
            else:
                # The kernel asks on stdin by the name that it has heard on shell.
                socket.setsockopt(zmq.IDENTITY, identity)
            socket.connect(f"ipc://{place}-{CHANNELS.index(channel) + 1}")
            setattr(self, channel, socket)
            self.tasks.append(asyncio.ensure_future(self._hear(channel, socket, hear)))

    @staticmethod
    async def _hear(channel, socket, hear):
        while True:
            frames = await socket.recv_multipart()
            try:
                message = Message(frames)
            except (ValueError, KeyError):
                # Not Jupyter's: a welcome to a subscriber, for example.
                continue
            await hear(channel, message)

    async def close(self):
        """Drops what is under way."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for channel in self._TYPES:
            getattr(self, channel).close()


def write_kernel_file(path, place, info):
    """The kernel's own connection file: the client's key, and sockets that only this user reaches."""
    own = {f"{channel}_port": number for number, channel in enumerate(CHANNELS, 1)}
    for name in ("key", "signature_scheme", "kernel_name"):
        if name in info:
            own[name] = info[name]
    with open(path, "w", encoding="utf-8", opener=_for_owner) as file:
        json.dump({**own, "transport": "ipc", "ip": place}, file)


def _for_owner(path, flags):
    return os.open(path, flags, 0o600)
