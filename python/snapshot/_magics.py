"""`%load_ext snapshot`: cells that can be undone, in a Jupyter kernel and in IPython's terminal.

In a kernel the magics only say what they want, in the reply of their cell. The front (`snapshot.notebook`)
does it when the cell is over. A cell that is nothing but `%undo` or `%redo` it does without them. In a terminal
`_terminal` does all.
"""

import os

from . import _asks
from ._randomness import reseeds
from ._terminal import Terminal

_ALL_LINES = 1 << 30


def load(shell):
    """Gives the shell its magics. Raises `RuntimeError` where cells can't be undone."""
    if getattr(shell, "kernel", None) is not None:
        ask = _kernel_ask(shell)
        # The front has it written between cells: a revert must not come back into a transaction.
        shell.history_manager.db_cache_size = _ALL_LINES
    else:
        ask = Terminal(shell).ask
    # A cell that runs again after an undo draws the numbers that it drew.
    reseeds(False)
    for name, magic in _magics(ask).items():
        shell.register_magic_function(magic, "line", name)


def unload(shell):
    """Takes them away, and takes no snapshots any more."""
    if getattr(shell, "kernel", None) is not None:
        shell.history_manager.db_cache_size = 0
    else:
        Terminal.end(shell)
    for name in _magics(None):
        shell.magics_manager.magics["line"].pop(name, None)


def _magics(ask):
    from IPython.core.error import UsageError

    def asks(read, line):
        try:
            what = read(line)
        except _asks.WrongLine as error:
            raise UsageError(str(error)) from None
        return ask(what)

    def snapshot(line):
        """%snapshot [LABEL]: takes a snapshot after this cell, and gives it a name for %undo."""
        return asks(_asks.snapshot, line)

    def snapshots(line):
        """%snapshots [--budget SIZE]: lists them with what they hold; or sets how much they may hold."""
        return asks(_asks.snapshots, line)

    def undo(line):
        """%undo [CELL | LABEL]: all is as it was before the last cell, before a cell, or at a snapshot."""
        return asks(_asks.undo, line)

    def redo(line):
        """%redo: takes back the last %undo."""
        return asks(_asks.redo, line)

    return {"snapshot": snapshot, "snapshots": snapshots, "undo": undo, "redo": redo}


def _kernel_ask(shell):
    from ipykernel.connect import get_connection_file

    # A kernel that a cell has started has the variable too.
    own = os.environ.get("SNAPSHOT_KERNEL_FILE")
    if not own or get_connection_file() != own:
        raise RuntimeError(
            "cannot undo cells of this kernel\n"
            "  cause: nobody holds its connection to the client while it goes back\n"
            "  help:  `python3 -m snapshot.kernelspec install --user`, and choose that kernel"
        )

    def ask(what):
        shell.payload_manager.write_payload({"source": "snapshot", **what}, single=False)

    return ask
