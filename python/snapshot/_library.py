"""Finds libsnapshot.so and declares its functions.

All of the package goes through the C interface (`snapshot-c/include/snapshot.h`) by ctypes, so one
wheel serves every version of Python.

ctypes releases the interpreter's lock during a call. Other threads may be anywhere when a snapshot
is taken; the library stops them and brings them back.
"""

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_int, c_size_t
from ctypes import c_uint, c_uint32, c_uint64, c_void_p
from pathlib import Path

NAME = "libsnapshot.so"

# The numbers of snapshot.h.
LIVE = 1
REVERTED = 2
ALONE = 2
COMMITTED = 0
ENDED = {1: "exited", 2: "killed", 3: "reverted", 4: "interrupted"}
CAUSES = {1: "error", 2: "deadline", 3: "ended", 4: "panic"}

Hook = CFUNCTYPE(None, c_void_p)
Body = CFUNCTYPE(c_int, c_void_p)


class Report(Structure):
    """`struct snapshot_report`."""

    _fields_ = [
        ("size", c_uint32),
        ("id", c_uint32),
        ("ended", c_uint32),
        ("number", c_int),
        ("latency_ns", c_uint64),
        ("not_restored", c_uint32),
        ("rollback", c_uint32),
    ]


class Outcome(Structure):
    """`struct snapshot_outcome`."""

    _fields_ = [
        ("size", c_uint32),
        ("cause", c_int),
        ("error", c_int),
        ("id", c_uint32),
        ("ended", c_uint32),
        ("number", c_int),
        ("latency_ns", c_uint64),
        ("not_restored", c_uint32),
        ("rollback", c_uint32),
        ("text", c_char * 256),
    ]


def _candidates():
    """Where the library may be: named by the user, in the wheel, in the project's tree."""
    here = Path(__file__).resolve().parent
    chosen = os.environ.get("SNAPSHOT_LIBRARY")
    if chosen:
        return [Path(chosen)]
    target = Path(os.environ.get("CARGO_TARGET_DIR") or here.parent.parent / "target")
    built = [target / profile / NAME for profile in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    return [here / NAME, *sorted(built, key=lambda path: -path.stat().st_mtime)]


def _load():
    candidates = _candidates()
    for path in candidates:
        if path.is_file():
            try:
                return ctypes.CDLL(str(path), use_errno=True)
            except OSError as error:
                raise ImportError(
                    f"cannot load {path}\n"
                    f"  cause: {error}\n"
                    "  help:  install the wheel made for this machine, or set SNAPSHOT_LIBRARY"
                ) from error
    raise ImportError(
        f"cannot find {NAME}\n"
        f"  cause: it is not at {', '.join(map(str, candidates))}\n"
        "  help:  `pip install cargo-snapshot`; in the project's tree "
        "`cargo build -p snapshot-c`; or set SNAPSHOT_LIBRARY to its path"
    )


def _declare(library):
    numbers = POINTER(c_uint32)
    for name, result, arguments in [
        ("take", c_int, [c_char_p, POINTER(Report)]),
        ("revert", c_int, []),
        ("revert_to", c_int, [c_uint32]),
        ("revert_with", c_int, [c_uint32, c_char_p]),
        ("revert_after", c_int, [c_uint32, c_uint64, c_char_p, POINTER(c_uint64)]),
        ("end_deadline", c_int, [c_uint64]),
        ("commit", c_int, []),
        ("drop", c_int, [c_uint32]),
        ("list", c_int, [numbers, c_size_t]),
        ("depth", c_uint, []),
        ("rollback", c_int, []),
        ("on_snapshot", c_int, [Hook, c_void_p, POINTER(c_uint64)]),
        ("on_revert", c_int, [Hook, c_void_p, POINTER(c_uint64)]),
        ("on_commit", c_int, [Hook, c_void_p]),
        ("attempt", c_int, [Body, c_void_p, c_uint64, POINTER(Outcome)]),
        ("set_reason", None, [c_char_p]),
        ("reason", c_char_p, [c_uint32]),
        ("reseed", c_int, []),
        ("reseeds", c_int, [c_bool]),
        ("install_handlers", c_int, []),
        ("last_error", c_char_p, []),
    ]:
        function = getattr(library, f"snapshot_{name}")
        function.restype = result
        function.argtypes = arguments
    return library


library = _declare(_load())


def last_text():
    """What the library says about this thread's last failure, or about the end of a branch."""
    return (library.snapshot_last_error() or b"").decode(errors="replace")


def new(structure):
    """A structure that begins with its size."""
    return structure(ctypes.sizeof(structure))
