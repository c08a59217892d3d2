"""How many bytes snapshots hold, as the kernel of the system counts them."""

_FIELDS = ("Pss_Anon", "Pss_Shmem", "SwapPss", "Anonymous", "Swap")


def held_bytes(frozen, live):
    """What would be free if these frozen processes were gone, in bytes. `frozen` and `live` are pids.

    The proportional shares of all of them add up to the pages that they have together; without those of
    the live process, the rest is held by snapshots alone. Their page tables come on top.
    """
    together = tables = 0
    for pid in frozen:
        rollup = _rollup(pid)
        together += rollup["Pss_Anon"] + rollup["Pss_Shmem"] + rollup["SwapPss"]
        tables += _status(pid, "VmPTE")
    rollup = _rollup(live)
    together += rollup["Pss_Anon"] + rollup["Pss_Shmem"] + rollup["SwapPss"]
    own = rollup["Anonymous"] + rollup["Swap"] + _status(live, "RssShmem")
    return max(0, together - own) + tables


def at_most_bytes(frozen):
    """An upper bound of the same, which costs no walk over page tables."""
    return sum(_status(pid, "RssAnon", "RssShmem", "VmSwap", "VmPTE") for pid in frozen)


def machine_bytes():
    """The machine's memory."""
    return _fields("/proc/meminfo", ("MemTotal",))["MemTotal"]


def parse_size(text):
    """Bytes of `512M`, `4G`, `1.5 GiB`; a unit is a power of 1,024."""
    number = text.strip().rstrip("Bb").rstrip("iI")
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    factor = units.get(number[-1:].upper(), 1)
    try:
        size = int(float(number.rstrip("kKmMgGtT")) * factor)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise ValueError(f"{text!r} is no size: write 512M or 4G")
    return size


def size_text(size):
    """For a person, as `parse_size` reads it."""
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20)):
        if size >= factor:
            return f"{size / factor:.1f}{unit}"
    return f"{size / 1024:.0f}K"


def _rollup(pid):
    return _fields(f"/proc/{pid}/smaps_rollup", _FIELDS)


def _status(pid, *names):
    return sum(_fields(f"/proc/{pid}/status", names).values())


def _fields(path, names):
    found = dict.fromkeys(names, 0)
    with open(path, encoding="ascii", errors="replace") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] += int(rest.split()[0]) * 1024
    return found
