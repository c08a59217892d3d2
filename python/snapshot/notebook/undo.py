"""Which moments of a kernel there are, and what undo and redo mean. Pure, so that every order of cells
can be tested.

A moment is a snapshot of the kernel between two cells. Moments are a tree: each was reached from its parent
by the cells that ran between. An undo goes to a parent. A redo goes back to where the last undo came
from, also after other cells have run; those are gone then. A moment that neither can reach is dropped.

Going to a moment uses its snapshot up: it is the kernel then. The next take is of the same moment.
"""

from dataclasses import dataclass, field
from typing import List, Optional


class CannotUndo(Exception):
    """There is no such moment to go to. The kernel is unchanged."""


@dataclass(eq=False)
class Moment:
    """The kernel between two cells."""

    # The snapshot's number; `None` while the kernel itself is at this moment.
    id: Optional[int]
    parent: Optional["Moment"]
    # The cells that ran between the parent and this, by their numbers: one, as a rule.
    cells: List[int] = field(default_factory=list)
    label: str = ""


class Timeline:
    """The moments of a kernel."""

    def __init__(self):
        # The newest moment that the kernel is made from.
        self.here = None
        # The cells that have run since, of which there is no snapshot yet.
        self.cells = []
        # Whether the kernel is as it was at `here`.
        self.clean = False
        # Where the cell that runs now has begun, if there is a snapshot of that.
        self.base = None
        # Where `redo` goes, the next one last.
        self.redo = []
        # The newest cell that can't be undone because its snapshot was dropped for memory.
        self.forgotten = None

    def path(self):
        """The moments that the kernel is made from, newest first."""
        return _line(self.here)

    def reachable(self):
        """All moments that an undo or a redo can reach, oldest first."""
        every = {moment: None for end in [self.here, *self.redo] for moment in _line(end)}
        return sorted(every, key=lambda moment: (moment.id is None, moment.id))

    def taken(self, number):
        """A snapshot of the kernel as it is now."""
        if self.here is not None and self.here.id is None and self.cells:
            # Cells have run from there without a snapshot: there will be none of it.
            self._remove(self.here)
        if self.here is not None and self.here.id is None:
            self.here.id = number
        else:
            self.here = Moment(number, self.here, self.cells)
        self.cells, self.clean = [], True

    def changed(self):
        """Something has run in the kernel."""
        self.clean = False

    def is_covered(self):
        """Whether there is a snapshot of the kernel as it is."""
        return self.clean and self.here is not None and self.here.id is not None

    def cell_begins(self):
        """A cell is about to run, and its snapshot was taken if it could be."""
        self.base = self.here if self.is_covered() else None
        self.clean = False

    def cell_done(self, number):
        """The cell has run, and stays."""
        self.cells.append(number)

    def plan_undo(self, target=None):
        """The moment that an undo goes to, and where that is in words: before the last cell, before cell
        `target` (a number), or the one with this label."""
        if isinstance(target, str):
            for moment in self.path():
                if moment.label == target and moment.id is not None:
                    return moment, f"at {target!r}"
            self._refuse(f"snapshot called {target!r}", any(of.label == target for of in self.reachable()))
        # Where no snapshot was taken lately, cells have run since.
        if self.cells and target in (None, *self.cells):
            for moment in self.path():
                if moment.id is not None:
                    return moment, f"before cell {self.cells[0]}"
                if moment.cells:
                    break
        for moment in self.path():
            if moment.parent is not None and (moment.cells if target is None else target in moment.cells):
                return moment.parent, f"before cell {moment.cells[0]}"
        if target is None:
            self._refuse("cell to undo", False, self.forgotten is not None)
        is_old = self.forgotten is not None and target <= self.forgotten
        self._refuse(f"cell {target} to undo", any(target in of.cells for of in self.reachable()), is_old)

    def _refuse(self, what, is_undone, is_old=False):
        why = ""
        if is_undone:
            why = ": it is undone already"
        elif is_old:
            why = f": the snapshots up to cell {self.forgotten} were dropped to stay within the memory budget"
        raise CannotUndo(f"there is no {what}{why}")

    def plan_redo(self):
        """The moment that a redo goes to: where the last undo came from."""
        if not self.redo:
            raise CannotUndo("there is nothing to redo")
        return self.redo[-1]

    def undone(self, target):
        """The kernel is at this moment now, and a redo goes to where it was, if there is a snapshot of
        that."""
        if self.base is not None:
            self.redo.append(self.base)
        self.is_at(target)

    def redone(self):
        """The kernel is at the moment of `plan_redo` now."""
        self.is_at(self.redo.pop())

    def is_at(self, moment):
        """The kernel is as it was at this moment, and has used its snapshot up."""
        left, moment.id = self.here, None
        self.here, self.cells, self.clean, self.base = moment, [], True, None
        if left is not None and left is not moment and left.id is None:
            # No snapshot was taken of it since the kernel came there.
            self._remove(left)

    def only(self, numbers):
        """The session has these snapshots, and has lost all others."""
        for moment in self.reachable():
            if moment.id is not None and moment.id not in numbers:
                self._remove(moment)

    def _remove(self, gone):
        """What was reached through this moment is now reached from its parent."""
        for moment in self.reachable():
            if moment.parent is gone:
                moment.parent, moment.cells = gone.parent, gone.cells + moment.cells
        if self.here is gone:
            self.here, self.cells, self.clean = gone.parent, gone.cells + self.cells, False
        if self.base is gone:
            self.base = None
        self.redo = [moment for moment in self.redo if moment is not gone]

    def oldest(self):
        """The moment that goes first if there is too little memory, or `None`: the one that the kernel
        is made from never goes."""
        others = [moment for moment in self.reachable() if moment is not self.here]
        # Without a beginning the rest can still be undone; without a middle, two cells at once.
        first = [moment for moment in others if moment.parent is None]
        return next(iter(first or others), None)

    def forget(self, moment):
        """Its snapshot was dropped to save memory."""
        for other in self.reachable():
            if other.parent is moment and moment.parent is None:
                self.forgotten = max(self.forgotten or 0, *other.cells, 0)
                other.parent, other.cells = None, []
        self._remove(moment)


def _line(moment):
    line = []
    while moment is not None:
        line.append(moment)
        moment = moment.parent
    return line
