"""Guest: a program with named sockets of every kind, which obeys commands on them: listen, bind,
close in any way, wait for a connection, set options.

Each line is a command and its words; the answer is `ok` and the result.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

F_SETOWN_EX, F_GETOWN_EX = 15, 16
THREAD, PROCESS = 0, 1
IP_MULTICAST_ALL = 49
libc = ctypes.CDLL(None)
held = {}
clients = []


def made(kind):
    """A listener, not yet listening, and its address."""
    if kind in ("tcp", "plain", "port"):
        one = socket.socket()
        if kind == "tcp":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return one, ("127.0.0.1", 0)
    if kind == "tcp6":
        one = socket.socket(socket.AF_INET6)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return one, ("::1", 0)
    one = socket.socket(socket.AF_UNIX)
    if kind == "path":
        return one, os.path.abspath("listener")
    return one, "\0" + os.path.abspath("listener")


def listen(kind):
    one, address = made(kind)
    one.bind(address)
    if kind == "path":
        os.chmod(address, 0o640)
    one.listen(7)
    held[kind] = one
    return address_of(kind)


def address_of(kind):
    name = held[kind].getsockname()
    if isinstance(name, tuple):
        return name[1]
    return name.decode()[1:] if isinstance(name, bytes) else name


def again(kind):
    """Another one at the address of one that was closed."""
    one, _ = made(kind)
    one.bind(held[kind + "'s address"])
    one.listen(7)
    held[kind] = one


def close(kind, how):
    one = held.pop(kind)
    held[kind + "'s address"] = one.getsockname()
    fd = one.detach()
    if how == "raw":
        libc.syscall(3, fd)
    elif how == "dup2":
        other = os.open("/dev/null", os.O_RDONLY)
        os.dup2(other, fd)
        os.close(fd)
        os.close(other)
    elif how == "range":
        os.closerange(fd, fd + 1)
    else:
        os.close(fd)


def serve(kind):
    """Accepts one and says what it sends."""
    held[kind].settimeout(20)
    one, _ = held[kind].accept()
    heard = one.recv(100)
    one.send(b"answer")
    clients.append(one)
    return heard.decode()


def is_quiet(kind):
    """Whether nobody waits."""
    return "quiet" if not select.select([held[kind]], [], [], 0)[0] else "somebody"


def call(kind):
    """Connects to itself."""
    one = socket.socket(held[kind].family)
    one.connect(held[kind].getsockname())
    clients.append(one)


def mode():
    return oct(os.stat("listener").st_mode & 0o7777)


def state(kind):
    return held[kind].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def port():
    """A TCP socket that the kernel has given a port to, and that does not listen yet."""
    one, address = made("port")
    one.bind(address)
    held["port"] = one
    return address_of("port")


def begin(kind):
    """It listens now."""
    held[kind].listen(5)
    return address_of(kind)


def udp():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    held["udp"] = one
    return address_of("udp")


def bind_udp_again():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(held["udp's address"])
    held["udp"] = one


def drink(kind):
    held[kind].setblocking(False)
    try:
        return held[kind].recv(100).decode()
    except BlockingIOError:
        return "nothing"


def own_datagrams(kind):
    """A datagram socket that is connected to itself."""
    if kind == "unix":
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.bind("\0" + os.path.abspath("itself"))
    else:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
    one.connect(one.getsockname())
    one.send(b"to myself")
    held["self"] = one


def send_to_itself():
    held["self"].send(b"more")
    return drink("self")


def local():
    """Both ends of a local connection that was made by a name."""
    one = socket.socket(socket.AF_UNIX)
    one.connect(held["abstract"].getsockname())
    other, _ = held["abstract"].accept()
    one.send(b"within")
    held["near"], held["far"] = one, other


def dropped():
    """A pair that root has made, and the program is nobody afterwards."""
    held["near"], held["far"] = socket.socketpair()
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    held["near"].send(b"within")


def vouched():
    ids = held["near"].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return " ".join(str(number) for number in struct.unpack("iII", ids)[1:])


def owned(mark):
    """Who gets a signal when something happens to a pipe and a pair, and which."""
    reader, _writer = os.pipe()
    one, other = socket.socketpair()
    held["owned"] = [reader, one.detach()]
    clients.append((_writer, other))
    for kind, fd in zip((THREAD, PROCESS), held["owned"]):
        own(fd, kind, os.getpid(), signal.SIGRTMIN + mark)


def own(fd, kind, owner, by):
    fcntl.fcntl(fd, F_SETOWN_EX, struct.pack("ii", kind, owner))
    fcntl.fcntl(fd, fcntl.F_SETSIG, by)


def disown():
    for fd in held["owned"]:
        own(fd, PROCESS, os.getppid(), signal.SIGUSR2)


def owners():
    told = []
    for fd in held["owned"]:
        kind, owner = struct.unpack("ii", fcntl.fcntl(fd, F_GETOWN_EX, b"12345678"))
        owner = "itself" if owner == os.getpid() else owner
        told.append(f"{kind} {owner} {fcntl.fcntl(fd, fcntl.F_GETSIG) - signal.SIGRTMIN}")
    return ", ".join(told)


GROUP = "239.77.1.2"
MEMBERSHIP = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")


def join():
    """A member of a multicast group; false where the loopback has none."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", 0))
    one.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    held["member"] = one
    try:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, MEMBERSHIP)
    except OSError:
        return "alone"
    return "member"


def leave():
    held["member"].setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, MEMBERSHIP)


def hears():
    """Whether it hears what is sent to the group, or what is sent to it afterwards alone."""
    port = held["member"].getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
        )
        sender.sendto(b"to all", (GROUP, port))
        sender.sendto(b"to one", ("127.0.0.1", port))
    held["member"].settimeout(20)
    heard = held["member"].recv(100).decode()
    if heard == "to all":
        held["member"].recv(100)
    return heard


def system_v():
    """A set of semaphores and a queue of messages that it has used, and another of each."""
    sets = [libc.semget(0, 2, 0o600) for _ in range(2)]
    libc.semctl(sets[0], 1, 16, 5)
    queues = [libc.msgget(0, 0o600) for _ in range(2)]
    libc.msgsnd(queues[0], ctypes.c_buffer(struct.pack("l", 1) + b"x"), 1, 0)
    held["system v"] = sets, queues
    return f"{sets[0]} {queues[0]}"


def forget_system_v():
    sets, queues = held["system v"]
    for one in sets:
        libc.semctl(one, 0, 0)
    for one in queues:
        libc.msgctl(one, 0, None)


def posix_queue():
    """A queue of POSIX's, in which a message waits, that can only be read from."""
    name = f"/snapshot-sockets-{os.getpid()}".encode()
    queue = libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
    libc.mq_send(queue, b"x", 1, 0)
    held["queue"] = libc.mq_open(name, os.O_RDONLY)
    libc.mq_close(queue)
    libc.mq_unlink(name)
    return held["queue"]


def pty():
    """Both ends of a terminal, with bytes on their way in either direction."""
    held["pty"] = master, slave = os.openpty()
    os.write(slave, b"up")
    os.write(master, b"down\n")


def share():
    """A child has all of it too."""
    if os.fork() == 0:
        signal.pause()
        os._exit(0)


def connect(port):
    held["connection"] = socket.create_connection(("127.0.0.1", port))


def linger(port):
    """A connection. Its peer reads nothing, and a close waits until it does."""
    connect(port)
    one = held["connection"]
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 65536)
    except BlockingIOError:
        one.setblocking(True)


def hang_up():
    fd = held.pop("connection").detach()
    held["closer"] = threading.Thread(target=os.close, args=(fd,), daemon=True)
    held["closer"].start()
    # It sleeps in the close: in no other call of its has the thread no descriptor.
    while os.path.exists(f"/proc/self/fd/{fd}"):
        time.sleep(0.001)


def ended():
    """What it hears of a connection that has been reset."""
    select.select([held["connection"]], [], [], 20)
    error = held["connection"].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return f"{error} {held['connection'].recv(1)!r}"


def become():
    """Another program, which has none of it: Python's descriptors close on exec."""
    print("ok", flush=True)
    os.execv("/bin/cat", ["cat"])


def styles():
    """A new, a bound and a listening socket of each kind."""
    for kind in ("tcp", "tcp6"):
        try:
            held["new " + kind] = made(kind)[0]
            listen(kind)
            held["bound " + kind] = one = made(kind)[0]
            one.bind(("::1" if kind == "tcp6" else "127.0.0.1", 0))
        except OSError:
            held.pop("new " + kind, None)
    for family, name in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            held[f"new udp {name}"] = socket.socket(family, socket.SOCK_DGRAM)
            held[f"bound udp {name}"] = one = socket.socket(family, socket.SOCK_DGRAM)
            one.bind((name, 0))
        except OSError:
            held.pop(f"bound udp {name}", None)
    listen("path")
    listen("abstract")
    held["near"], held["far"] = socket.socketpair()
    held["new unix"] = socket.socket(socket.AF_UNIX)


LEVELS = {1: range(2, 90), 0: range(1, 60), 41: range(2, 80), 6: range(1, 60), 17: (1, 101, 102, 103, 104)}
# What is no option of a socket by itself, or can't be read.
LEFT_OUT = {(1, 26), (1, 27), (1, 44), (1, 77), (0, 16), (0, 17), (6, 19), (6, 20), (6, 22), (41, 1)}
settable = set()


def each_option():
    for name, one in sorted((k, v) for k, v in held.items() if isinstance(v, socket.socket)):
        for level, numbers in LEVELS.items():
            for number in numbers:
                if (level, number) not in LEFT_OUT:
                    yield name, one, level, number


def value(one, level, number):
    try:
        return one.getsockopt(level, number, 64)
    except OSError:
        return None


def turn(first):
    """Sets every option to another value, beginning with one of them."""
    numbers = [1, 0, 2, 3, 4, 30, 100, 700, 2000, 1_000_000]
    for name, one, level, number in each_option():
        before = value(one, level, number)
        if before is None:
            continue
        for new in numbers[first:] + numbers[:first]:
            bytes_ = struct.pack("i", new).ljust(max(4, len(before)), b"\0")
            try:
                one.setsockopt(level, number, bytes_)
            except OSError:
                continue
            if value(one, level, number) != before:
                settable.add((name, level, number))
                break
    return len(settable)


def note():
    held["noted"] = {
        (name, level, number): value(one, level, number)
        for name, one, level, number in each_option()
        if (name, level, number) in settable
    }


def compare():
    differing = [
        f"{key} was {held['noted'][key]!r}, is {now!r}"
        for key, now in (
            ((name, level, number), value(one, level, number))
            for name, one, level, number in each_option()
            if (name, level, number) in held["noted"]
        )
        if now != held["noted"][key]
    ]
    return "; ".join(differing)


for line in sys.stdin:
    verb, *words = line.split()
    words = [int(word) if word.isdigit() else word for word in words]
    try:
        answer = globals()[verb](*words)
        print("ok", "" if answer is None else answer, flush=True)
    except Exception as error:
        print("err", repr(error), flush=True)
