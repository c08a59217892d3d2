"""Guest: plays random cells, undos, redos, crashes and lost snapshots against the simplest model of a kernel,
which is the list of the cells that stand. Takes a seed; prints how many steps it made.
"""

import random
import sys

from snapshot.notebook.undo import CannotUndo, Timeline


class Kernel:
    """The cells that stand, and the snapshots with theirs."""

    def __init__(self, chance):
        self.chance, self.timeline = chance, Timeline()
        # The states of snapshots, by number.
        self.cells, self.snapshots, self.left = (), {}, []
        self.count = self.taken = 0

    def before_cell(self):
        self.count += 1
        # A take may be refused.
        if not self.timeline.is_covered() and (self.chance.random() < 0.95 or not self.snapshots):
            self.taken += 1
            self.snapshots[self.taken] = self.cells
            self.timeline.taken(self.taken)
        self.timeline.cell_begins()

    def go(self, moment):
        """The snapshot is the kernel then."""
        self.cells = self.snapshots.pop(moment.id)

    def cell(self):
        self.before_cell()
        self.cells += (self.count,)
        self.timeline.cell_done(self.count)

    def undo(self, target):
        self.before_cell()
        before, base = self.cells, self.timeline.base
        try:
            moment, where = self.timeline.plan_undo(target)
        except CannotUndo:
            # There is no snapshot of before: none was taken in time, or it is lost.
            wanted = self.cells[: self.cells.index(target)] if target else self.cells[:-1]
            there = [self.snapshots[of.id] for of in self.timeline.path() if of.id is not None]
            assert not before or wanted not in there, before
            return
        first = int(where.rsplit(" ", 1)[1])
        assert before[: before.index(first)] == self.snapshots[moment.id], (before, where)
        # Where takes were refused, cells go together.
        assert target is None or target in before[before.index(first) :], (target, where)
        self.go(moment)
        self.timeline.undone(moment)
        if base is not None:
            self.left.append((base, before))

    def redo(self):
        self.before_cell()
        self.left = [left for left in self.left if left[0].id in self.snapshots]
        try:
            moment = self.timeline.plan_redo()
        except CannotUndo:
            assert not self.left
            return
        left, cells = self.left.pop()
        assert moment is left and self.snapshots[moment.id] == cells
        self.go(moment)
        self.timeline.redone()

    def crash(self):
        """Back to the newest snapshot, which is used up."""
        self.before_cell()
        here = self.timeline.here
        if here is None or here.id is None:
            # The session would end, or be at an older one.
            return
        self.go(here)
        self.timeline.is_at(here)
        self.timeline.changed()

    def lose(self):
        """Somebody else has dropped one."""
        del self.snapshots[self.chance.choice(sorted(self.snapshots))]
        self.timeline.only(set(self.snapshots))

    def forget_oldest(self):
        oldest = self.timeline.oldest()
        if oldest is not None:
            del self.snapshots[oldest.id]
            self.timeline.forget(oldest)

    def check(self):
        reachable = {moment.id for moment in self.timeline.reachable()} - {None}
        self.snapshots = {number: cells for number, cells in self.snapshots.items() if number in reachable}
        assert len(reachable) == len(self.snapshots)
        here = self.timeline.here
        if self.timeline.is_covered():
            assert self.snapshots[here.id] == self.cells
        elif here is not None and here.id is not None:
            assert self.snapshots[here.id] + tuple(self.timeline.cells) == self.cells


def main(seed, runs=300, length=60):
    for run in range(runs):
        chance = random.Random(seed + run)
        kernel = Kernel(chance)
        for _ in range(length):
            act = chance.random()
            if act < 0.45 or not kernel.snapshots:
                kernel.cell()
            elif act < 0.6:
                kernel.undo(None)
            elif act < 0.75 and kernel.cells:
                kernel.undo(chance.choice(kernel.cells))
            elif act < 0.85:
                kernel.redo()
            elif act < 0.9:
                kernel.crash()
            elif act < 0.93:
                kernel.forget_oldest()
            elif act < 0.96:
                kernel.lose()
            else:
                kernel.timeline.changed()
            kernel.check()
    print(runs * length, "steps")


if __name__ == "__main__":
    main(int(sys.argv[1]))
