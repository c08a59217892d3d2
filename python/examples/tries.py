"""`with snapshot.attempt()`: a block that is tried until it succeeds, from the same state each time; and
what a branch must not do.

    $ python3 tries.py

Prints:
```text
try 1 with [1, 2]
try 2 with [1, 2]
kept [1, 2]
the mail about 2 numbers is sent
undone: ZeroDivisionError: division by zero
still [1, 2]
```
"""

import snapshot

numbers = [1]

with snapshot.attempt(tries=3) as attempt:
    numbers.append(2)
    # Sent once nothing can undo it: by the try that stays.
    snapshot.on_commit(lambda: print("the mail about", len(numbers), "numbers is sent"))
    print("try", attempt.number, "with", numbers)
    if attempt.number == 1:
        raise ConnectionError("the server is busy")
    print("kept", numbers)

try:
    with snapshot.attempt():
        numbers.clear()
        1 / 0
except snapshot.AttemptError as error:
    print("undone:", error)
print("still", numbers)
