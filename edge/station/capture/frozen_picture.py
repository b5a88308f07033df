"""Notices a camera that repeats its pictures: a frozen sensor, a stuck buffer, a loop.

Sensors have noise: two pictures of a live camera are never equal byte for byte.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import plane_of

# So many repeated pictures in a row are worth reopening the camera.
MIN_REPEATS = 30
# Pictures that are remembered, at some bytes each.
MEMORY = 1024
_BLOCK_WORDS = 512


class RepeatWatch:
    """Remembers the last pictures of a camera, also over its reopening."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def is_repeat(self, pixels_bgr: NDArray[np.uint8]) -> bool:
        """Take the next picture; True when it is equal to one of the last 1024."""
        key = fingerprint(pixels_bgr)
        is_repeat = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > MEMORY:
            self._seen.popitem(last=False)
        return is_repeat


class FrozenWatch:
    """Counts repeated pictures in a row since the camera was opened."""

    def __init__(self, after_s: float):
        self._after_ns = int(after_s * 1e9)
        self._first_ns: int | None = None
        self._repeats = 0

    def is_frozen(self, is_repeat: bool, now_ns: int) -> bool:
        """Take the next picture; True once 30 and more, over `after_s`, were repeats."""
        if not is_repeat or self._first_ns is None:
            self._first_ns, self._repeats = now_ns, 0
        self._repeats += is_repeat
        return self._repeats >= MIN_REPEATS and now_ns - self._first_ns > self._after_ns


def fingerprint(pixels_bgr: NDArray[np.uint8]) -> bytes:
    """Return 16 bytes that equal pictures share, from sums along both directions of memory.

    All bytes count, of a grey picture those of one channel. Sums take a tenth of a checksum's time:
    0.1 ms for 1280 x 1024.
    """
    plane = plane_of(pixels_bgr)
    flat = np.ascontiguousarray(pixels_bgr if plane is None else plane).reshape(-1)
    whole = flat.size // (8 * _BLOCK_WORDS) * (8 * _BLOCK_WORDS)
    blocks = flat[:whole].view(np.uint64).reshape(-1, _BLOCK_WORDS)
    digest = hashlib.blake2b(repr(pixels_bgr.shape).encode(), digest_size=16)
    for part in (blocks.sum(axis=0), blocks.sum(axis=1), flat[whole:]):
        digest.update(part.tobytes())
    return digest.digest()
