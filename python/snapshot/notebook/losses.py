"""What a take says will not come back, as far as the user's cells have made it.

A kernel has pipes, its history's database and its sockets before the first cell. The sockets to the front
are made anew after each revert, and the front knows about them.
"""

import re


class Losses:
    """Sorts what takes name. `place` is where the kernel's sockets lie."""

    def __init__(self, place):
        self._place = place
        # By kind and descriptor: no cell gets the number of one that the kernel keeps open.
        self._kernels_own = None

    def news(self, not_rolled_back):
        """Sentences for the user about what a take has named."""
        if self._kernels_own is None:
            self._kernels_own = {_key(lost) for lost in not_rolled_back}
        lost = [each for each in not_rolled_back if _key(each) not in self._kernels_own]
        front = self._front_inodes() if lost else ()
        return [
            f"not rolled back: {each['what']}: {each['why']}"
            for each in lost
            if not any(f"socket:[{inode}]" in each["what"] for inode in front)
        ]

    def _front_inodes(self):
        """The kernel's ends of the connections to the front: they have the name of its listeners."""
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as lines:
            rows = [line.split() for line in lines]
        return [row[6] for row in rows if len(row) > 7 and row[7].startswith(self._place)]


def _key(lost):
    descriptor = re.match(r"fd \d+", lost["what"])
    return lost["kind"], descriptor.group() if descriptor else lost["what"]
