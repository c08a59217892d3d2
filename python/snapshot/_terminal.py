"""Cells that can be undone, in IPython's terminal: a snapshot before each cell, by the library.

A branch of the library's ends when it goes back, so there is no redo here; a kernel's front can do that.
What this object knows is rolled back with the rest of the program: after an undo the moments that were
undone are not in it. What must survive, the number of the next cell, comes through the revert.
"""

import json
import os
import re
import sys
from dataclasses import dataclass

from . import _ipython, _snapshots
from ._cells import continue_at
from ._errors import SnapshotError
from .notebook import memory

# The library lists 32, and a program alone can have no more.
_MOST = 30


@dataclass
class _Before:
    """The snapshot before a cell, or with a label."""

    id: int
    cell: int
    label: str = ""


class Terminal:
    """Stands around a shell's `run_cell`."""

    def __init__(self, shell):
        self._shell = shell
        self._moments = []
        self._forgotten = 0
        self._budget = memory.machine_bytes() // 4
        self._ask = None
        self._run_cell, self._ask_exit = shell.run_cell, shell.ask_exit
        shell.run_cell, shell.ask_exit = self.run_cell, self.exit
        shell.snapshot_terminal = self

    @staticmethod
    def end(shell):
        """The shell is as it was before."""
        self = shell.snapshot_terminal
        self._drop_all()
        shell.run_cell, shell.ask_exit = self._run_cell, self._ask_exit
        del shell.snapshot_terminal

    def ask(self, what):
        """A cell wants this; it is done when the cell is over."""
        self._ask = what

    def exit(self, *arguments, **options):
        """Leaves IPython: what its cells did is final."""
        self._ask_exit(*arguments, **options)
        self._drop_all()

    def run_cell(self, raw_cell, store_history=False, silent=False, **options):
        """Runs a cell, with a snapshot before."""
        is_cell = store_history and not silent and raw_cell.strip()
        if is_cell and not self._take(self._shell.execution_count):
            # Back: the cell has not run.
            return self._no_result(raw_cell, store_history, silent)
        self._ask = None
        result = self._run_cell(raw_cell, store_history=store_history, silent=silent, **options)
        ask, self._ask = self._ask, None
        if ask is not None:
            try:
                print(self._do(ask), file=sys.stderr)
            except SnapshotError as error:
                print(f"{ask['act']}: {error}", file=sys.stderr)
        return result

    def _no_result(self, raw_cell, store_history, silent):
        from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

        return ExecutionResult(ExecutionInfo(raw_cell, store_history, silent, True, None))

    def _take(self, cell, label=""):
        """Takes a snapshot. Returns whether this is the branch; else the program is back there."""
        self._fit()
        # A snapshot in the middle of a transaction would come back into it.
        _ipython.before_take()
        try:
            arrival = _snapshots.take(label or f"before cell {cell}", context=(), one_history=True)
        except SnapshotError as error:
            print(f"[snapshot] no snapshot before this cell: {error}", file=sys.stderr)
            return True
        if arrival:
            self._moments.append(_Before(arrival.id, cell, label))
            return True
        # It ended in its first cell, or says at which cell it was.
        said = json.loads(arrival.reason) if arrival.reason else {"cell": cell, "text": f"the cell {arrival.how()}: back before it"}
        continue_at(self._shell, said["cell"] + 1)
        print(said["text"], file=sys.stderr)
        return False

    def _do(self, ask):
        cell = self._shell.execution_count - 1
        if ask["act"] == "undo":
            target, where = self._find(ask["target"], cell)
            _snapshots.revert_with(target.id, json.dumps({"cell": cell, "text": f"back {where}"}))
        if ask["act"] == "redo":
            raise SnapshotError(0, "there is no redo in a terminal: what a cell did is gone once it is undone")
        if ask["act"] == "label":
            self._label(ask["label"], cell)
            return f"snapshot {ask['label']!r} taken" if ask["label"] else "snapshot taken"
        if ask["act"] == "budget":
            return self._set_budget(ask["size"])
        return self._describe()

    def _label(self, label, cell):
        if label and any(moment.label == label for moment in self._moments):
            raise SnapshotError(0, f"there is a snapshot called {label!r} already")
        self._take(cell, label)

    def _find(self, target, cell):
        # The last one is that of the cell that asks.
        for moment in reversed(self._moments):
            if isinstance(target, str) and moment.label == target:
                return moment, f"at {target!r}"
            if target == moment.cell or (target is None and moment.cell < cell and not moment.label):
                return moment, f"before cell {moment.cell}"
        what = f"snapshot called {target!r}" if isinstance(target, str) else f"cell {target or ''} to undo"
        old = not isinstance(target, str) and self._forgotten and (target or 0) <= self._forgotten
        why = f": cells up to {self._forgotten} are final, to stay within the limits" if old else ""
        raise SnapshotError(0, f"there is no {what}{why}".replace("  ", " "))

    def _fit(self):
        """Drops the oldest while there are too many, or too large ones."""
        there = set(_snapshots.ids())
        self._moments = [moment for moment in self._moments if moment.id in there]
        while self._moments and (len(self._moments) >= _MOST or self._held() > self._budget):
            if _snapshots.is_alone():
                # Frozen processes of a program alone end from the newest on only.
                self._forgotten = self._moments[-1].cell
                self._drop_all()
                print(f"[snapshot] cells up to {self._forgotten} are final: %undo goes back to here at most", file=sys.stderr)
                return
            oldest = self._moments.pop(0)
            self._forgotten = oldest.cell
            _snapshots.drop(oldest.id)

    def _drop_all(self):
        for moment in reversed(self._moments):
            if moment.id in _snapshots.ids():
                _snapshots.drop(moment.id)
        self._moments = []

    def _held(self, exact=False):
        frozen = _frozen()
        held = memory.at_most_bytes(frozen)
        return memory.held_bytes(frozen, os.getpid()) if exact or held > self._budget else held

    def _set_budget(self, size):
        try:
            self._budget = memory.parse_size(size)
        except ValueError as error:
            raise SnapshotError(0, str(error)) from error
        return f"snapshots may hold {memory.size_text(self._budget)}"

    def _describe(self):
        lines = [
            f"#{moment.id}  before cell {moment.cell}" if not moment.label else f"#{moment.id}  {moment.label!r}"
            for moment in self._moments
        ]
        held, budget = memory.size_text(self._held(exact=True)), memory.size_text(self._budget)
        return "\n".join([*lines, f"{len(lines)} snapshots hold {held} of {budget}"])


def _frozen():
    """The frozen processes, which show as `#1 python`: alone each is the next one's parent, in a session
    they have the program's parent."""
    if _snapshots.is_alone():
        pids, pid = [], os.getppid()
        while _is_frozen(pid):
            pids.append(pid)
            pid = _parent_of(pid)
        return pids
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in numbers if _is_frozen(pid) and _parent_of(pid) == os.getppid()]


def _is_frozen(pid):
    return re.match(r"#\d+", _stat(pid)[0]) is not None


def _parent_of(pid):
    return int(_stat(pid)[1].split()[1])


def _stat(pid):
    """A process's name, and the fields behind it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
            return name, rest
    except OSError:
        return "", "X 0"
