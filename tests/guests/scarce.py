"""Guest: a program that has hardly a descriptor left.

`leave N` opens descriptors until N are left; `look` closes them again, and prints how many
there were, what a pipe contains, and how many others are open.
"""

import os
import resource
import sys

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
reader, writer = os.pipe()
os.write(writer, b"kept")
held = []

for line in sys.stdin:
    match line.split():
        case ["leave", free]:
            while True:
                try:
                    held.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
            for _ in range(int(free)):
                os.close(held.pop())
            print("ok", len(held), flush=True)
        case ["look"]:
            count = len(held)
            while held:
                os.close(held.pop())
            text = os.read(reader, 4)
            os.write(writer, text)
            print("ok", count, text.decode(), len(os.listdir("/proc/self/fd")), flush=True)
        case words:
            print("err unknown command", words, flush=True)
