"""Builds the wheel and the source distribution: libsnapshot.so by cargo, the wheel around it by maturin.

The sources of the wheel are the whole workspace, so a source distribution is what git has of it, with a
`pyproject.toml` at the top that names this backend. It is made in a checkout, and built like one.
"""

import io
import os
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path

import maturin

__all__ = [
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_wheel",
]

_PACKAGE = Path(__file__).resolve().parent.parent
_PROJECT = _PACKAGE.parent


@contextmanager
def _in_package():
    """maturin reads the `pyproject.toml` of the directory it is in."""
    before = os.getcwd()
    os.chdir(_PACKAGE)
    try:
        yield
    finally:
        os.chdir(before)


def _build_library():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or _PROJECT / "target")
    command = "cargo rustc --locked --release -p snapshot-c --crate-type cdylib"
    strip = ["--", "-C", "strip=symbols"]
    subprocess.run([*command.split(), "--target-dir", target, *strip], cwd=_PROJECT, check=True)
    return Path(shutil.copy2(target / "release" / "libsnapshot.so", _PACKAGE / "snapshot"))


def get_requires_for_build_wheel(config_settings=None):
    """PEP 517: what maturin needs."""
    with _in_package():
        return maturin.get_requires_for_build_wheel(config_settings)


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """PEP 517: returns the directory's name."""
    metadata_directory = os.path.abspath(metadata_directory)
    with _in_package():
        return maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517: returns the wheel's file name."""
    wheel_directory = os.path.abspath(wheel_directory)
    metadata_directory = metadata_directory and os.path.abspath(metadata_directory)
    library = _build_library()
    try:
        with _in_package():
            return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    finally:
        # Whoever uses the package in the tree wants what cargo builds next, and not this.
        library.unlink()


def build_sdist(sdist_directory, config_settings=None):
    """PEP 517: returns the source distribution's file name."""
    name = f"cargo_snapshot-{_version()}"
    path = Path(sdist_directory, f"{name}.tar.gz")
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for file in _tracked():
            archive.add(_PROJECT / file, f"{name}/{file}", recursive=False)
        for file, text in (("pyproject.toml", _PYPROJECT), ("PKG-INFO", _pkg_info())):
            entry = tarfile.TarInfo(f"{name}/{file}")
            content = text.encode()
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return path.name


# At the top of a source distribution. The package's own has all else.
_PYPROJECT = """\
[build-system]
requires = ["maturin>=1.7,<2"]
build-backend = "wheel"
backend-path = ["python/build_backend"]
"""


def _pkg_info():
    return f"Metadata-Version: 2.1\nName: cargo-snapshot\nVersion: {_version()}\nRequires-Python: >=3.8\n"


def _version():
    """cargo's own answer, since the workspace's manifest has it: `path+file:///...#snapshot-launch@0.1.0`."""
    command = "cargo pkgid --offline -p snapshot-launch"
    answer = subprocess.run(command.split(), cwd=_PROJECT, check=True, stdout=subprocess.PIPE)
    return answer.stdout.decode().strip().replace("@", "#").rpartition("#")[2]


def _tracked():
    command = "git ls-files -z --cached"
    answer = subprocess.run(command.split(), cwd=_PROJECT, stdout=subprocess.PIPE)
    files = [file for file in answer.stdout.decode().split("\0") if file]
    if answer.returncode != 0 or "python/build_backend/wheel.py" not in files:
        raise RuntimeError(
            "cannot make a source distribution\n"
            f"  cause: git knows no files of the project in {_PROJECT}\n"
            "  help:  make it in a checkout; a wheel can be built here: `pip wheel .`"
        )
    return files
