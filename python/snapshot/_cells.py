"""What IPython knows of its cells, after a revert: their numbers, and its history.

The front of a kernel calls `came_back` and `write_history` in the kernel; a terminal's revert calls
`continue_at`.
"""

import os
import sys


def came_back(next_cell, written):
    """The kernel is back at a snapshot. Cells never get the number of an undone one. The history's
    database has the cells up to `written`."""
    from IPython import get_ipython

    shell = get_ipython()
    history = shell.history_manager
    history.db_input_cache = [line for line in history.db_input_cache if line[0] > written]
    continue_at(shell, next_cell)


def continue_at(shell, next_cell):
    """After a revert the next cell has this number."""
    history = shell.history_manager
    for lines in (history.input_hist_parsed, history.input_hist_raw):
        lines.extend([""] * (next_cell - len(lines)))
    shell.execution_count = next_cell
    # What `random` and numpy draw comes back with the cells; keys that OpenSSL makes must not.
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(48), 48.0)


def write_history():
    """Writes down the cells that have run."""
    from IPython import get_ipython

    manager = get_ipython().history_manager
    if manager is not None and manager.enabled:
        manager.writeout_cache()
