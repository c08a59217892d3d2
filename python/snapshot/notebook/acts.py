"""What cells ask the front for, and what its session reports.

The magics run in the kernel and say what they want in the reply of their cell; it is done when the cell
is over and the kernel idle. A cell that is nothing but `%undo` or `%redo` asks the front itself.
"""

import asyncio
import sys

from .. import _asks
from .losses import Losses
from .moments import Moments
from .session import Refused
from .undo import CannotUndo

# Requests that run code of the user's, or may.
_RUNS_CODE = ("execute_request", "complete_request", "inspect_request")


class Acts:
    """Between the front and the kernel's moments."""

    def __init__(self, front, session, budget, place):
        self._front, self._session = front, session
        self._moments = Moments(session, budget, Losses(place), self._come_back)
        self._stands = asyncio.Event()
        # The cells up to this one are in the history's database.
        self._written = 0
        self._going_back = set()

    async def begin(self, code):
        """Connects for the first time, and loads the extension into the kernel."""
        reply, count = await self._front.connect(code)
        self._front.count = count - 1
        if reply["status"] != "ok":
            print(f"snapshot: the extension does not load: {reply.get('evalue')}", file=sys.stderr)
        self._stands.set()
        await asyncio.Event().wait()

    def hear(self, event):
        """An event of the session."""
        if event["event"] != "reverted":
            return
        if self._moments.own_reverts:
            self._moments.own_reverts -= 1
            return
        task = asyncio.ensure_future(self._went_back(event["id"]))
        # The loop itself would forget it.
        self._going_back.add(task)
        task.add_done_callback(self._going_back.discard)

    async def _went_back(self, number):
        # The cell has its number, though it is undone.
        self._front.count += 1
        await self._front.fail_control(f"the kernel has ended, and is back at snapshot #{number}")
        between_cells = await self._moments.went_back_to(number)
        if not between_cells:
            # It may take long until the kernel listens again.
            self._front.went_back(
                f"somebody has brought the kernel back to snapshot #{number}, which was taken in the middle of a "
                "cell: what that does from now on is not shown"
            )
        await self._connect_again(self._front.count + 1)
        if between_cells:
            self._front.went_back(
                f"the kernel has ended, and is back before this cell (snapshot #{number}): nothing of it stays"
            )

    def changed(self):
        """A message that runs code has gone to the kernel."""
        self._moments.timeline.changed()

    def changed_by(self, kind):
        """The same, if this kind of request does."""
        if kind in _RUNS_CODE:
            self.changed()

    async def before_cell(self, message):
        """Takes the snapshot that an undo of this cell goes back to."""
        await self._stands.wait()
        for text in await self._moments.take():
            await self._front.publish("stream", {"name": "stderr", "text": f"[snapshot] {text}\n"}, message)
        self._moments.timeline.cell_begins()

    def after_cell(self, reply):
        """A cell has run that asks for nothing."""
        self._moments.timeline.cell_done(reply.get("execution_count"))

    @staticmethod
    def asked_by(content):
        """What a cell asks for that the kernel need not run; else `None`."""
        # Expressions are the kernel's.
        return None if content.get("user_expressions") else _asks.of_cell(content.get("code", ""))

    async def carry_out(self, asked, reply, count):
        """Does what a cell has asked for, the last thing if several. Returns what to print."""
        try:
            return await self._do(asked[-1], reply, count)
        except (Refused, OSError) as error:
            raise CannotUndo(f"the session does not answer: {error}") from error

    async def _do(self, ask, reply, count):
        act = ask["act"]
        if act == "undo":
            with self._front.held():
                return await self._moments.undo(ask["target"], count)
        if act == "redo":
            with self._front.held():
                return await self._moments.redo(count)
        self.after_cell(reply)
        if act == "label":
            return await self._moments.label(ask["label"])
        if act == "budget":
            return self._moments.set_budget(ask["size"])
        return await self._moments.describe()

    async def _come_back(self, count):
        await self._connect_again(count + 1)

    async def has_its_number(self, count):
        """The client has seen a cell with this number, which the kernel has not run."""
        await self._front.ask_kernel(f"__import__('snapshot')._cells.continue_at(get_ipython(), {count + 1})")

    async def _connect_again(self, next_cell):
        await self._front.connect(f"__import__('snapshot')._cells.came_back({next_cell}, {self._written})")

    async def while_quiet(self):
        """No request waits: the kernel may write its history down."""
        cells = self._moments.timeline.cells
        if cells and cells[-1] > self._written:
            self._written = cells[-1]
            await self._front.ask_kernel("__import__('snapshot')._cells.write_history()")
