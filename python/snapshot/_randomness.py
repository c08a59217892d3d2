"""Fresh randomness after a revert.

A revert brings back the state of every generator, so two tries from one snapshot would draw the same
numbers: the same passwords, the same session keys. After each revert the process's shared generators
get new seeds from the kernel. `os.urandom` and `secrets` need nothing: the kernel's generator is not
rolled back. Generators that a program keeps itself (`random.Random()`, `numpy.random.default_rng()`)
are its own to reseed, by `on_revert`.
"""

import sys

from ._errors import check
from ._library import ALONE, library

_wanted = True


def reseeds(wanted):
    """Whether reverts reseed. `False` is for debugging, where a second try should draw the same."""
    global _wanted
    _wanted = bool(wanted)
    tell_session()


def tell_session():
    """Memory that is marked to be wiped in copies is the session's; for a program alone it is wiped."""
    if library.snapshot_rollback() != ALONE:
        check(library.snapshot_reseeds(_wanted))


def reseed():
    """Gives `random`, numpy's global generator, OpenSSL and the C library's `random()` new seeds.

    After each revert the module does it by itself. Raises `SnapshotError` if the kernel gives no seed.
    """
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    check(library.snapshot_reseed())


def after_revert():
    """Reseeds, if that is wanted."""
    if _wanted:
        reseed()
