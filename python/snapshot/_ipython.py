"""IPython's history, for a program alone.

IPython writes each input into a database that a revert does not bring back, under its session's
number and the line's number. The original would write the same lines again: "Session/line number was
not unique". So all lines are written before the take, and the branch's go under a new session.
"""

import sys


def _history():
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    manager = getattr(shell, "history_manager", None)
    return manager if getattr(manager, "enabled", False) else None


def before_take():
    """Writes down what the original has in memory."""
    manager = _history()
    if manager:
        manager.writeout_cache()


def begin_branch():
    """From here on the history is a session's of its own."""
    manager = _history()
    if manager:
        manager.new_session()
