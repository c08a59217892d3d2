"""What Python has buffered for stdout and stderr: written before a take, or both branches would write it,
and before a branch ends, or it would go with the branch."""

import sys


def flush():
    """Writes it out. Streams that are closed, or full, are the program's own business."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # `None` is a stream, too.
            pass
