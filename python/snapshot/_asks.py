"""What `%undo` and its like ask for: a line becomes an ask, or words about what is wrong with it.

Pure. The magics read their lines with it. The front of a notebook reads whole cells with it, so that it can do
what they ask for without the kernel.
"""

import re

LABEL_BYTES = 100

# A cell that the front can read. What a label means may depend on the kernel: `%undo {name}` is a label, too.
_CELL = re.compile(r"[ \t\r\n]*%(undo|redo)(?:[ \t]+([0-9]{1,9}))?[ \t\r\n]*")


class WrongLine(Exception):
    """The line asks for nothing that there is."""


def snapshot(line):
    """What `%snapshot` asks for."""
    label = line.strip()
    if label.isdigit() or len(label.encode()) > LABEL_BYTES:
        raise WrongLine(f"a label is no number, and has up to {LABEL_BYTES} bytes")
    return {"act": "label", "label": label}


def snapshots(line):
    """What `%snapshots` asks for."""
    words = line.replace("=", " ").split()
    if words and (words[0] != "--budget" or len(words) != 2):
        raise WrongLine("write %snapshots or %snapshots --budget 4G")
    return {"act": "budget", "size": words[1]} if words else {"act": "list"}


def undo(line):
    """What `%undo` asks for."""
    target = line.strip()
    return {"act": "undo", "target": int(target) if target.isdigit() else target or None}


def redo(line):
    """What `%redo` asks for."""
    if line.strip():
        raise WrongLine("%redo takes nothing: it takes back the last %undo")
    return {"act": "redo"}


def of_cell(code):
    """What a cell asks for that is nothing but `%undo`, `%undo` with a number, or `%redo`; else `None`."""
    found = _CELL.fullmatch(code)
    if found is None:
        return None
    name, number = found.groups(default="")
    try:
        return {"undo": undo, "redo": redo}[name](number)
    except WrongLine:
        # The kernel says so.
        return None
