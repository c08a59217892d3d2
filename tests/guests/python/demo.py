"""Guest: waits for Ctrl+C, breaks into the debugger that is named, and then calls the wrong function."""

import sys
import time

debugger = __import__(sys.argv[1])


def wrong(numbers):
    numbers.clear()
    return "wrong"


def right(numbers):
    return sum(numbers)


def main():
    numbers = [1, 2, 3]
    print("waiting", flush=True)
    try:
        while True:
            time.sleep(10)
    except KeyboardInterrupt:
        debugger.set_trace()
    first = wrong(numbers)
    second = right(numbers)
    print("results", first, second, flush=True)


main()
