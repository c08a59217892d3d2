"""Code as a transaction over the whole program.

A `with` block can't be skipped, and a revert comes back to where the snapshot was taken: into
`__enter__`. There is one honest thing to do there when the block has failed: raise. So a failed block
looks as if `with` itself had raised, with all as it was before; or, if there are tries left, the block
runs again.
"""

import functools
import traceback
from ctypes import byref, c_uint64

from . import _hooks, _snapshots
from ._errors import AttemptError, check
from ._library import CAUSES, COMMITTED, ENDED, Body, Outcome, last_text, library, new
from ._streams import flush

# The library's limit is 4,096, with its own few bytes.
_TEXT_BYTES = 3900
# What a branch says that took too long, in the form of `_reason_of`.
_TOO_LATE = b"deadline\nthe attempt was undone: it took too long"


def attempt(function=None, /, *args, tries=1, deadline=None, **kwargs):
    """Runs code; what it does stays if it succeeds, and is undone if it fails in any way.

    `with attempt():` is for a block, `@attempt(tries=3)` for a function that always is an attempt, and
    `attempt(function, *args)` for one call: it returns what the function returns.

    On an exception, a crash, a kill or an exit, and after `deadline` seconds, the program is as it was
    before, and runs the code again if there are `tries` left. Else it raises `AttemptError`.
    """
    if function is not None:
        return _call(functools.partial(function, *args, **kwargs), tries, deadline)
    if args or kwargs:
        raise TypeError("attempt() takes arguments for a function only with the function")
    return Attempt(tries, deadline)


class Attempt:
    """A block that is undone if it fails. `number` counts its tries from 1.

    `failure` is the `AttemptError` of the try before, or `None`. Each try has `deadline` seconds, or any
    time for `None`.
    """

    def __init__(self, tries=1, deadline=None):
        _must_try(tries)
        self.tries = tries
        self.deadline = deadline
        self._milliseconds = _milliseconds(deadline)
        self.number = 0
        self.failure = None
        self._id = 0
        self._watch = 0

    def __enter__(self):
        under = _snapshots.ids()
        try:
            return self._begin()
        except KeyboardInterrupt as error:
            # If it came after a take there is a branch already, and `with` would not end it.
            begun = [number for number in _snapshots.ids() if number not in under]
            if begun:
                _snapshots.revert_with(begun[0], _reason_of(error))
            raise

    def _begin(self):
        self.failure = None
        for self.number in range(1, self.tries + 1):
            arrival = _snapshots.take(label="attempt")
            if arrival:
                self._id = arrival.id
                self._begin_deadline()
                return self
            self.failure = _failure(arrival.ended, arrival.status, arrival.reason, f"its branch {arrival.how()}")
            if self.failure.cause == "interrupted":
                break
        raise self.failure

    def _begin_deadline(self):
        if not self._milliseconds:
            return
        # A thread of the library's watches the time, and needs no lock of the interpreter's.
        number = c_uint64()
        try:
            check(library.snapshot_revert_after(self._id, self._milliseconds, _TOO_LATE, byref(number)))
        except BaseException:
            _drop(self._id)
            raise
        self._watch = number.value

    def __exit__(self, kind, error, trace):
        if self._watch:
            library.snapshot_end_deadline(self._watch)
        if error is None:
            _drop(self._id)
            return
        _snapshots.revert_with(self._id, _reason_of(error))

    def __call__(self, function):
        @functools.wraps(function)
        def attempted(*args, **kwargs):
            with Attempt(self.tries, self.deadline):
                return function(*args, **kwargs)

        return attempted


def _call(function, tries, deadline):
    _must_try(tries)
    milliseconds = _milliseconds(deadline)
    failure = None
    for _ in range(tries):
        result = []

        @Body
        def body(_data):
            _snapshots.begin_branch()
            try:
                result.append(function())
                return 0
            except BaseException as error:
                library.snapshot_set_reason(_encoded(_reason_of(error)))
                flush()
                return 1

        _snapshots.before_take()
        outcome = new(Outcome)
        cause = check(library.snapshot_attempt(body, None, milliseconds, byref(outcome)))
        if cause == COMMITTED:
            return result[0]
        text = last_text()
        _hooks.after_own_take()
        name = CAUSES.get(cause, "ended")
        if name == "ended":
            name = ENDED.get(outcome.ended, name)
        failure = _failure(name, outcome.number, text if name == "error" else "", text)
        if failure.cause == "interrupted":
            break
    raise failure


def _milliseconds(deadline):
    """As the library wants it: 0 is no deadline."""
    if deadline is None:
        return 0
    if not 0 <= deadline < float("inf"):
        raise ValueError("a deadline is a number of seconds, from 0 on")
    return max(1, round(deadline * 1000))


def _must_try(tries):
    if tries < 1:
        raise ValueError("there must be at least one try")


def _reason_of(error):
    """What the branch says: in a first line the cause, then the traceback."""
    cause = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    # The end says what happened.
    text = text.encode(errors="replace")[-_TEXT_BYTES:].decode(errors="ignore")
    return f"{cause}\n{text}"


def _encoded(text):
    return text.replace("\0", "").encode(errors="replace")


def _failure(ended, status, reason, sentence):
    if not reason:
        return AttemptError(ended, status, f"the attempt was undone: {sentence}")
    cause, _, text = reason.partition("\n")
    return AttemptError(cause, status, text)


def _drop(number):
    # If it is gone, somebody has committed already.
    if number in _snapshots.ids():
        _snapshots.drop(number)
