"""Guest: a program that shares all its objects with a child: a counter, both ends of a
pipe, shared memory; a descriptor of itself; and a file for its stderr.

`change` changes each of them, and `look` prints them; `note WORD` writes to stderr.
"""

import mmap
import os
import sys

counter = os.eventfd(3, os.EFD_NONBLOCK)
reader, writer = os.pipe2(os.O_NONBLOCK)
os.write(writer, b"one")
memory = mmap.mmap(-1, 4096)
memory[0:3] = b"one"
itself = os.pidfd_open(os.getpid())
kept, child_waits = os.pipe()
os.dup2(os.open("notes", os.O_CREAT | os.O_WRONLY), 2)

if os.fork() == 0:
    os.close(child_waits)
    # Its end comes with the program's.
    os.read(kept, 1)
    os._exit(0)
print("ready", flush=True)

for line in sys.stdin:
    if line.strip() == "change":
        os.eventfd_write(counter, 4)
        os.write(writer, b"two")
        memory[0:3] = b"two"
        print("ok", flush=True)
    elif line.startswith("note "):
        os.write(2, line[5:].encode())
        print("ok", flush=True)
    else:
        count = os.eventfd_read(counter)
        os.eventfd_write(counter, count)
        waiting = os.read(reader, 100)
        os.write(writer, waiting)
        print("ok", count, waiting.decode(), memory[0:3].decode(), flush=True)
