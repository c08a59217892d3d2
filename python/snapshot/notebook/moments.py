"""Takes and reverts snapshots of the kernel on behalf of its cells, within the memory budget.

Context: the front.
"""

import asyncio
import math

from . import memory
from .session import Refused
from .undo import CannotUndo, Timeline

# Each is a process, frozen.
MOST = 200


class Moments:
    """The kernel's snapshots. `come_back(count)` makes the connection to the kernel anew after a revert."""

    def __init__(self, session, budget, losses, come_back):
        self.timeline = Timeline()
        self.budget = budget
        self.held = 0
        # Reverts that were asked for here, and that the session has not reported yet.
        self.own_reverts = 0
        self._session = session
        self._come_back = come_back
        self._weighing = None
        self._weigh_again = False
        # The snapshots that this has taken and not dropped.
        self._there = set()
        self._losses = losses
        # What was said already.
        self._said = set()

    async def take(self):
        """Takes one, unless the kernel is as it was at the newest. Returns what the user should know."""
        if self.timeline.is_covered():
            return []
        if not self._session.same_ids:
            return [_NO_IDS] if self._is_news(_NO_IDS) else []
        try:
            event = await self._session.ask("take", label=None)
        except (Refused, OSError) as refusal:
            return [f"no snapshot before this cell: {refusal}"]
        self.timeline.taken(event["id"])
        self._there.add(event["id"])
        # Not in the background: a look at the memory of all takes a second, and a client may send a hundred cells
        # meanwhile.
        await self._drop_oldest(len(self._there) - MOST)
        self._weigh_soon()
        lost = self._losses.news(event["not_rolled_back"])
        return [text for text in lost if self._is_news(text)]

    def _is_news(self, text):
        is_news = text not in self._said
        self._said.add(text)
        return is_news

    async def _drop_unreachable(self):
        reachable = {moment.id for moment in self.timeline.reachable()} - {None}
        for number in sorted(self._there - reachable):
            await self._drop(number)

    async def label(self, label):
        """Takes a snapshot with a name. Returns a sentence."""
        if label and any(moment.label == label for moment in self.timeline.reachable()):
            raise CannotUndo(f"there is a snapshot called {label!r} already")
        said = await self.take()
        if not self.timeline.is_covered():
            raise CannotUndo("; ".join(said) or _NO_IDS)
        moment = self.timeline.here
        moment.label = label or moment.label
        name = f" {label!r}" if label else ""
        return "\n".join([f"snapshot{name} taken: #{moment.id}", *said])

    async def undo(self, target, count):
        """Goes back. Returns a sentence."""
        if not self._session.same_ids:
            raise CannotUndo(_NO_IDS)
        moment, where = self.timeline.plan_undo(target)
        redo = self.timeline.base is not None
        await self._go_to(moment, count)
        self.timeline.undone(moment)
        await self._drop_unreachable()
        return f"back {where}" + ("" if redo else "; there is no redo: no snapshot was taken before this cell")

    async def redo(self, count):
        """Goes forward to where the last undo has come from. Returns a sentence."""
        moment = self.timeline.plan_redo()
        await self._go_to(moment, count)
        self.timeline.redone()
        await self._drop_unreachable()
        cells = next((of.cells for of in self.timeline.path() if of.cells), None)
        return f"forward again, after cell {cells[-1]}" if cells else "forward again"

    async def _go_to(self, moment, count):
        self.own_reverts += 1
        try:
            # The snapshot is the kernel then. To keep it would take as long as another take; the next cell
            # makes that.
            await self._session.ask("revert", id=moment.id, keep=False, ahead=True)
        except Refused as refusal:
            self.own_reverts -= 1
            raise CannotUndo(str(refusal)) from refusal
        self._there.discard(moment.id)
        await self._come_back(count)

    async def went_back_to(self, number):
        """The kernel went back by itself: it has crashed, or somebody else has reverted it. Returns whether
        it is between two cells."""
        listing = await self._session.ask("list")
        ids = {taken["id"] for taken in listing["snapshots"]}
        back_at = [moment for moment in self.timeline.reachable() if moment.id == number]
        if back_at:
            self.timeline.is_at(back_at[0])
        self.timeline.changed()
        self.timeline.only(ids)
        self._there &= ids
        await self._drop_unreachable()
        return bool(back_at)

    async def _drop(self, number):
        self._there.discard(number)
        try:
            await self._session.ask("drop", id=number)
        except Refused:
            # Somebody else was faster.
            pass

    def _weigh_soon(self):
        """Looks at the memory in the background, once at a time."""
        if self._weighing is not None and not self._weighing.done():
            self._weigh_again = True
            return
        self._weighing = asyncio.ensure_future(self._weigh())

    async def _weigh(self):
        while True:
            self._weigh_again = False
            try:
                await self._fit()
            except (OSError, Refused):
                # A process was gone before its numbers were read.
                self._weigh_again = True
                await asyncio.sleep(_PAUSE)
            if not self._weigh_again:
                return

    async def _fit(self):
        await self.weigh()
        while self.held > self.budget:
            # Half of what is too much if all hold the same: some hold more.
            too_many = len(self._there) * (self.held - self.budget) / self.held
            if not await self._drop_oldest(math.ceil(too_many / 2)):
                return
            await self.weigh()

    async def _drop_oldest(self, count):
        """Drops so many, if there are. Returns how many."""
        for dropped in range(count):
            oldest = self.timeline.oldest()
            if oldest is None:
                return dropped
            self.timeline.forget(oldest)
            await self._drop(oldest.id)
        return max(count, 0)

    async def weigh(self):
        """Measures what all snapshots hold. Where an upper bound is within the budget, that will do."""
        frozen, live = await self._processes()
        self.held = memory.at_most_bytes(frozen)
        if self.held > self.budget:
            await self._measure(frozen, live)

    async def measure(self):
        """Measures it in any case. Where a process goes meanwhile (a snapshot is dropped to save memory), it
        asks again which there are."""
        for _ in range(_TRIES):
            try:
                return await self._measure(*await self._processes())
            except (FileNotFoundError, ProcessLookupError):
                await asyncio.sleep(_PAUSE)
        return await self._measure(*await self._processes())

    async def _processes(self):
        """The pids of the snapshots, and of the kernel."""
        listing = await self._session.ask("list")
        return [taken["frozen_pid"] for taken in listing["snapshots"]], listing["live_pid"]

    async def _measure(self, frozen, live):
        # In a thread: the system walks all page tables for it.
        loop = asyncio.get_running_loop()
        self.held = await loop.run_in_executor(None, memory.held_bytes, frozen, live)
        return self.held

    async def describe(self):
        """The list for a person."""
        held = await self.measure() if self._there else 0
        path, lines = self.timeline.path(), []
        for moment in self.timeline.reachable():
            cells = ", ".join(map(str, moment.cells))
            number = f"#{moment.id}" if moment.id is not None else "now"
            parts = [number, f"after cell {cells}" if cells else "", repr(moment.label) if moment.label else ""]
            lines.append("  ".join(part for part in parts if part) + ("" if moment in path else "  (undone)"))
        sizes = f"{memory.size_text(held)} of {memory.size_text(self.budget)}"
        return "\n".join([*lines, f"{len(lines)} snapshots hold {sizes}"])

    def set_budget(self, text):
        """From now on they may hold this much."""
        try:
            self.budget = memory.parse_size(text)
        except ValueError as error:
            raise CannotUndo(str(error)) from error
        self._weigh_soon()
        return f"snapshots may hold {memory.size_text(self.budget)}"


# Between two looks at processes that come and go, in seconds; and how many looks are enough.
_PAUSE = 0.05
_TRIES = 20

_NO_IDS = (
    "no cell can be undone here: the kernel would come back with other process numbers, "
    "and its sockets do not work then; `cargo snapshot doctor` says how to get namespaces"
)
