"""The names of the first `snapshot.py`, with their meaning.

There a snapshot was a `fork()`: the parent waited, and the child went on. A program that used it
changes nothing. What is different is said in docs/python.md.
"""

import functools
import sys

from . import _snapshots


def snapshot(context=None):
    """Takes a snapshot. Returns `True` in the branch that begins, and `False` when it has ended.

    The branch ends when its process ends in any way, or by a revert. `context` is a list of lines
    that `print_snapshot_list` shows; by default the caller's stack.
    """
    if isinstance(context, str):
        context = [context]
    arrival = _snapshots.take(context=context)
    if _snapshots.is_alone():
        _say(arrival)
    return bool(arrival)


def _say(arrival):
    # A launcher says it itself.
    try:
        print(arrival, file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        pass


is_in_snapshot = _snapshots.is_in_snapshot


def not_in_snapshot(function):
    """Decorator: the function runs only where nothing can undo it. In a branch it returns `None`."""

    @functools.wraps(function)
    def only_at_depth_0(*args, **kwargs):
        if not _snapshots.is_in_snapshot():
            return function(*args, **kwargs)
        return None

    return only_at_depth_0


root_only = not_in_snapshot


def revert_to_snapshot(position=-1):
    """Ends the branch: the program goes on from the snapshot at this position of the list.

    0 is the oldest, -1 the newest. Returns only by an error.
    """
    numbers = _snapshots.ids()
    try:
        number = numbers[position]
    except IndexError:
        # The library says that there is none.
        number = 0
    _snapshots.revert_to(number)


def format_snapshot_list(context_frames=3):
    """The snapshots under this process, oldest first, with the innermost lines of their context."""
    lines = []
    for position, taken in enumerate(_snapshots.list_snapshots()):
        title = f"{'=' * 20} Snapshot #{position} {'=' * 20}"
        lines.append(f"{title} {taken.label}".rstrip())
        lines += taken.context[-context_frames:] if context_frames else ()
    return "\n".join(line.rstrip("\n") for line in lines)


def print_snapshot_list(context_frames=3):
    """Prints what `format_snapshot_list` returns."""
    print(format_snapshot_list(context_frames=context_frames))


def set_trace(debugger="ipdb"):
    """Breaks into the debugger; the next line that it runs takes a snapshot."""
    module = __import__(debugger)
    module.set_trace()
    snapshot()
