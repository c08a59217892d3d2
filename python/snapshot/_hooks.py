"""What a program wants done before takes, after reverts, and once nothing can undo it.

The library gets one hook of each kind, and this module calls the program's. So reseeding comes
first after a revert, and one hook that fails stops no other.

The library has a thread that runs the hooks after reverts to snapshots that were taken from outside.
It is started with the first hook. A program alone that has no hook, and takes its snapshots itself,
gets no thread: `after_own_take` reseeds.
"""

import itertools
import traceback

from . import _randomness
from ._errors import check
from ._library import Hook, library
from ._streams import flush

_before_take = []
_after_revert = []
_waiting = {}
_numbers = itertools.count(1)
_registered = set()


def _run(hooks):
    for hook in hooks:
        try:
            hook()
        except Exception:
            traceback.print_exc()


@Hook
def _call_before_take(_data):
    _run(list(_before_take))
    # The take's own flush was before this.
    flush()


@Hook
def _call_after_revert(_data):
    _run([_randomness.after_revert, *reversed(_after_revert)])


@Hook
def _call_waiting(number):
    _run([_waiting.pop(number)])


def _register(kind, callback):
    if kind not in _registered:
        check(getattr(library, f"snapshot_{kind}")(callback, None, None))
        _registered.add(kind)


def on_snapshot(hook):
    """Calls `hook()` before each snapshot that the program itself takes. Usable as a decorator."""
    _register("on_snapshot", _call_before_take)
    _before_take.append(hook)
    return hook


def on_revert(hook):
    """Calls `hook()` after each revert, the newest hook first. Usable as a decorator.

    After a revert to a snapshot that the program took itself they run before `snapshot()` returns;
    else in another thread, and the program goes on meanwhile.
    """
    _after_revert.append(hook)
    hear_reverts()
    return hook


def remove_hook(hook):
    """The hook runs no more."""
    for hooks in (_before_take, _after_revert):
        if hook in hooks:
            hooks.remove(hook)


def on_commit(action):
    """Calls `action()` once nothing can undo it: now at depth 0, else after the commit.

    It is never called if the branch ends before. Usable as a decorator.
    """
    if library.snapshot_depth() == 0:
        action()
        return action
    number = next(_numbers)
    _waiting[number] = action
    try:
        check(library.snapshot_on_commit(_call_waiting, number))
    except BaseException:
        _waiting.pop(number, None)
        raise
    return action


def hear_reverts():
    """From now on the library reports each revert, whoever took the snapshot."""
    _register("on_revert", _call_after_revert)


def after_own_take():
    """The program is back in a snapshot that it took itself."""
    if "on_revert" not in _registered:
        _run([_randomness.after_revert])
