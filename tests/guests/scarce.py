"""Guest: a program that has hardly a descriptor left.

`leave N` opens whatever there is to open, but for N; `look` closes it all again, and says how
many there were, what waits in a pipe, and how many are open besides.
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
