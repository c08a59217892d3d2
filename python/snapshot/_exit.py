"""How a branch of a program alone exits.

`atexit` handlers and finalizers that exist at the take belong to the original: run in the branch
they would delete its temporary files, end its history, log out its connections. So the branch's own
handler runs before them, since `atexit` calls the newest first, and ends the process.

What the branch registers itself runs before, as usual. Under a launcher nothing of this is needed:
the files come back.
"""

import atexit
import builtins
import os
import sys

from ._library import library
from ._streams import flush

# The interpreter tells no handler which status it exits with, so the ways to exit note it. A branch
# that reaches its end, or raises SystemExit itself, is reverted instead: that is no lie.
_UNKNOWN = object()
_status = _UNKNOWN


def guard():
    """This is a branch: from here on its exit leaves the original's things alone."""
    atexit.unregister(_leave)
    atexit.register(_leave)
    if sys.exit is not _exit:
        # A revert takes these back, with all the branch's memory.
        sys.exit = builtins.exit = builtins.quit = _exit
        sys.excepthook = _failing(sys.excepthook)


def _exit(status=None, /):
    """Exit the interpreter by raising SystemExit(status)."""
    global _status
    _status = status
    raise SystemExit(status)


def _failing(hook):
    def note_and_show(*exception):
        global _status
        _status = 1
        hook(*exception)

    return note_and_show


def _leave():
    if library.snapshot_depth() == 0:
        return
    flush()
    if _status is _UNKNOWN:
        library.snapshot_revert()
    elif _status is None or isinstance(_status, int):
        os._exit((_status or 0) & 0xFF)
    os._exit(1)
