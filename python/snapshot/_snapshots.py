"""Take, revert, commit, drop, list.

What is known of a snapshot lies in the program's own memory, so a revert takes back what is newer.
"""

import signal
import threading
import traceback
from ctypes import byref, c_uint32
from dataclasses import dataclass

from . import _exit, _hooks, _ipython
from ._errors import check
from ._library import ALONE, ENDED, REVERTED, Report, library, new
from ._streams import flush

_LISTED = 32
_known = {}


@dataclass(frozen=True)
class Taken:
    """A snapshot under this process.

    `context` is where it was taken, as lines of a stack, or what the program said about it. It is
    empty for a snapshot that was taken from outside.
    """

    id: int
    label: str
    context: tuple


@dataclass(frozen=True)
class Arrival:
    """Where execution is after a take: in the live branch, or back.

    It is true in the branch. Back in the snapshot `ended` is "exited", "killed", "reverted" or
    "interrupted", `status` the exit status or the signal, and `reason` what the branch has said by
    `revert_with`.
    """

    id: int
    ended: str = ""
    status: int = 0
    reason: str = ""
    not_restored: int = 0

    def __bool__(self):
        return not self.ended

    def __str__(self):
        if self:
            return f"snapshot #{self.id} taken"
        return f"back at snapshot #{self.id}: the branch {self.how()}"

    def how(self):
        """How the branch has ended, after "the branch"."""
        if self.ended == "exited":
            return f"exited with status {self.status}"
        if self.ended == "killed":
            return f"was killed by {signal_name(self.status)}"
        return f"was {self.ended}"


def signal_name(number):
    """As people write it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_alone():
    """Whether the program has no launcher: then files do not come back, and its pid changes."""
    return library.snapshot_rollback() == ALONE


def own_stack():
    """The lines of the caller's stack outside this package, oldest first."""
    return tuple(
        line
        for frame, line in zip(traceback.extract_stack(), traceback.format_stack())
        if frame.filename.rpartition("/")[0] != __file__.rpartition("/")[0]
    )


def take(label="", context=None, one_history=False):
    """Takes a snapshot and returns an `Arrival`, twice: see there. With `one_history` the caller sees to
    it that no line of IPython's history comes twice."""
    if context is None:
        context = own_stack()
    before_take()
    report = new(Report)
    reverted = check(library.snapshot_take(label.encode(), byref(report))) == REVERTED
    number = report.id
    if not reverted:
        _known[number] = Taken(number, label, tuple(context))
        begin_branch(one_history)
        return Arrival(number)
    reason = (library.snapshot_reason(number) or b"").decode(errors="replace")
    _hooks.after_own_take()
    if number in ids():
        # It was kept for another try.
        _known[number] = Taken(number, label, tuple(context))
    ended = ENDED.get(report.ended, "reverted")
    return Arrival(number, ended, report.number, reason, report.not_restored)


def before_take():
    """Writes out what both branches would write."""
    flush()
    if is_alone():
        _ipython.before_take()


def begin_branch(one_history=False):
    """This is the live branch of a snapshot that was just taken."""
    if is_alone():
        _exit.guard()
        if not one_history:
            _ipython.begin_branch()


def ids():
    """The numbers of the snapshots under this process, oldest first; at most 32."""
    numbers = (c_uint32 * _LISTED)()
    count = check(library.snapshot_list(numbers, _LISTED))
    return list(numbers[:count])


def list_snapshots():
    """The snapshots under this process as `Taken`, oldest first."""
    return [_known.get(number, Taken(number, "", ())) for number in ids()]


def depth():
    """How many snapshots lie under this process. At 0 nothing can be undone."""
    return library.snapshot_depth()


def is_in_snapshot():
    """Whether what happens now may be undone."""
    return depth() > 0


def revert():
    """Ends this branch: the program goes on from the newest snapshot. Returns only by an error."""
    flush()
    check(library.snapshot_revert())


def revert_to(number):
    """Ends this branch and all newer snapshots: the program goes on from this one."""
    flush()
    check(library.snapshot_revert_to(number))


def revert_with(number, reason):
    """As `revert_to`, and the arrival has this reason; of a long one the first 4,000 bytes."""
    flush()
    check(library.snapshot_revert_with(number, reason.replace("\0", "").encode(errors="replace")))


def commit():
    """Drops every snapshot: what was done is final, and `on_commit` actions run."""
    check(library.snapshot_commit())


def drop(number):
    """Forgets one snapshot; the others stay."""
    check(library.snapshot_drop(number))


def install_handlers():
    """For a program alone: SIGUSR1 takes a snapshot, and Ctrl+C reverts at once if there is one.

    Without it Ctrl+C is Python's `KeyboardInterrupt` as always, and ends the branch only if nothing
    catches it. Under a launcher this does nothing: the launcher serves both.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signal handlers are the main thread's")
    _hooks.hear_reverts()
    check(library.snapshot_install_handlers())
