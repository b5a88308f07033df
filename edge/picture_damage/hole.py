"""Long runs of zero bytes, as a disk or a copy that broke off leaves them."""

from __future__ import annotations

# Compressed data looks random: a run of this many zeros never happens by chance. Disks lose whole
# sectors of 512 bytes and more.
HOLE_BYTES = 256


def has_hole(data: bytes, start: int, end: int) -> bool:
    """Tell whether compressed data from `start` up to `end` has a run of 256 zero bytes."""
    return data.find(bytes(HOLE_BYTES), start, end) >= 0
