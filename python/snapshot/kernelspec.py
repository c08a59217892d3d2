"""`python -m snapshot.kernelspec install`: a kernel for Jupyter whose cells can be undone."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

NAME = "python3-snapshot"


def kernel_json(arguments=()):
    """The kernelspec: this Python's ipykernel, in a session, behind the front."""
    spec = {
        "argv": [sys.executable, "-m", "snapshot.notebook", "-f", "{connection_file}", *arguments],
        "display_name": f"Python {sys.version_info[0]} (undo)",
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"debugger": True},
    }
    # A package that is not installed is found as it was now.
    found = {name: os.environ[name] for name in ("SNAPSHOT_LIBRARY", "SNAPSHOT_LAUNCHER") if name in os.environ}
    package = str(Path(__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH", "")
    if package in path.split(os.pathsep):
        found["PYTHONPATH"] = path
    if found:
        spec["env"] = found
    return spec


def main(arguments=None):
    """The command. Returns its status."""
    parser = argparse.ArgumentParser(prog="python -m snapshot.kernelspec", description=__doc__.split(": ")[1])
    install = parser.add_subparsers(dest="command", required=True).add_parser(
        "install", help="install the kernel for Jupyter"
    )
    where = install.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for you, and not for the whole system")
    where.add_argument("--sys-prefix", action="store_const", const=sys.prefix, dest="prefix", help=f"into {sys.prefix}")
    where.add_argument("--prefix", help="into this prefix")
    install.add_argument("--name", default=NAME, help="the kernel's name [default: %(default)s]")
    install.add_argument("--display-name", help="its name for people")
    install.add_argument("--memory", metavar="SIZE", help="how much memory snapshots may hold, such as 4G")
    options = parser.parse_args(arguments)
    try:
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError:
        print("error: jupyter_client is not installed\n  help: pip install ipykernel", file=sys.stderr)
        return 1
    spec = kernel_json(["--memory", options.memory] if options.memory else [])
    if options.display_name:
        spec["display_name"] = options.display_name
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        # It becomes a directory of the system's users.
        os.chmod(directory, 0o755)
        try:
            place = KernelSpecManager().install_kernel_spec(
                directory, options.name, user=options.user, prefix=options.prefix
            )
        except PermissionError as error:
            print(f"error: cannot install the kernel: {error}\n  help: use --user or --sys-prefix", file=sys.stderr)
            return 1
    print(f"installed {options.name} in {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
