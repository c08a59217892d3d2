"""What goes wrong, as exceptions."""

from ._library import last_text


class SnapshotError(Exception):
    """There is no snapshot, or no revert. The program is unchanged.

    `number` is the `SNAPSHOT_ERROR_*` of `snapshot.h`.
    """

    def __init__(self, number, text):
        super().__init__(text)
        self.number = number


class AttemptError(SnapshotError):
    """An attempt was undone: the program is as it was before.

    `cause` is "error" (an exception), "deadline", or how the branch ended: "exited", "killed",
    "reverted", "interrupted". `status` is the exit status or the signal. `text` is the branch's
    traceback, or else the same sentence as `str(error)`.
    """

    def __init__(self, cause, status, text):
        lines = text.strip().splitlines() or [cause]
        super().__init__(0, lines[-1] if cause == "error" else text)
        self.cause = cause
        self.status = status
        self.text = text


def check(number):
    """The number, or the error that it stands for."""
    if number < 0:
        raise SnapshotError(number, last_text())
    return number
