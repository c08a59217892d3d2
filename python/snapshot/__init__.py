"""Snapshots of the running program: take one, do anything, and come back.

    import snapshot

    if snapshot.snapshot():
        ...                     # the branch: anything that happens here is undone
    else:
        ...                     # back again

`docs/python.md` in the project says what comes back, alone and under `snapshot-launch python3`.
"""

from . import _hooks, _randomness
from ._attempt import Attempt, attempt
from ._errors import AttemptError, SnapshotError
from ._hooks import on_commit, on_revert, on_snapshot, remove_hook
from ._randomness import reseed, reseeds
from ._seed import (
    format_snapshot_list,
    is_in_snapshot,
    not_in_snapshot,
    print_snapshot_list,
    revert_to_snapshot,
    root_only,
    set_trace,
    snapshot,
)
from ._snapshots import (
    Arrival,
    Taken,
    commit,
    depth,
    drop,
    install_handlers,
    is_alone,
    list_snapshots,
    revert,
    revert_to,
    take,
)

__all__ = [
    "Arrival",
    "Attempt",
    "AttemptError",
    "SnapshotError",
    "Taken",
    "attempt",
    "commit",
    "depth",
    "drop",
    "format_snapshot_list",
    "install_handlers",
    "is_alone",
    "is_in_snapshot",
    "list_snapshots",
    "not_in_snapshot",
    "on_commit",
    "on_revert",
    "on_snapshot",
    "print_snapshot_list",
    "remove_hook",
    "reseed",
    "reseeds",
    "revert",
    "revert_to",
    "revert_to_snapshot",
    "root_only",
    "set_trace",
    "snapshot",
    "take",
]



def load_ipython_extension(shell):
    """`%load_ext snapshot`: `%snapshot`, `%snapshots`, `%undo` and `%redo`."""
    from . import _magics

    _magics.load(shell)


def unload_ipython_extension(shell):
    """`%unload_ext snapshot`."""
    from . import _magics

    _magics.unload(shell)


if not is_alone():
    # Snapshots may be taken from outside at any time, and what follows must not draw the same
    # secrets twice.
    _hooks.hear_reverts()
    _randomness.tell_session()
