"""Finds `snapshot-launch` for those who start programs under it."""

import os
import shutil
import sys
from pathlib import Path

NAME = "snapshot-launch"


def launcher():
    """Its path: what `SNAPSHOT_LAUNCHER` names, the one beside this Python, the newest that cargo has built
    in the project's tree, or that of `PATH`."""
    chosen = os.environ.get("SNAPSHOT_LAUNCHER")
    if chosen:
        return chosen
    beside = Path(sys.executable).parent / NAME
    if os.access(beside, os.X_OK):
        return str(beside)
    tree = Path(__file__).resolve().parent.parent.parent
    target = Path(os.environ.get("CARGO_TARGET_DIR") or tree / "target")
    built = [target / profile / NAME for profile in ("release", "debug")]
    built = [path for path in built if os.access(path, os.X_OK)]
    if built:
        return str(max(built, key=lambda path: path.stat().st_mtime))
    found = shutil.which(NAME)
    if found:
        return found
    raise FileNotFoundError(
        f"cannot find {NAME}\n"
        f"  cause: it is not at {beside}, and not in PATH\n"
        "  help:  `pip install cargo-snapshot`; in the project's tree `cargo build -p snapshot-launch`; "
        "or set SNAPSHOT_LAUNCHER to its path"
    )
