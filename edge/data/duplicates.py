"""Pictures that are there twice: the same bytes, the same pixels, or the same exposure saved anew.

Two exposures of two parts differ by noise and place; two files of one exposure agree in what sets
it apart from the other pictures, also after JPEG, scaling or a change of brightness. Copies that
were turned, mirrored or shifted are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import DataError
from edge.picture_file import decode_picture, read_bytes

# Side of the small pictures that are compared, and what their difference from the mean of all must
# correlate by. Pictures of different parts reach 0.98, files of one exposure 0.998.
SIDE = 32
LEAST_CORRELATION = 0.997
# Rows of the correlation matrix at a time.
ROWS = 512


def twins(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of places of the same picture; enough of them to join all copies.

    Raises:
        DataError: a picture is unreadable.
    """
    digests: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    small = np.empty((len(paths), SIDE * SIDE), np.float32)
    for index, path in enumerate(paths):
        digest, small[index] = _seen(path)
        first = digests.setdefault(digest, index)
        if first != index:
            pairs.append((first, index))
    single = np.array(sorted(digests.values()), np.int64)
    pairs += [(int(single[i]), int(single[j])) for i, j in _near(small[single])]
    return pairs


def joined(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """For each of `count` places the first place that pairs join it with, directly or not."""
    first = list(range(count))

    def root(place: int) -> int:
        while first[place] != place:
            place = first[place]
        return place

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        first[high] = low
    return [root(place) for place in range(count)]


def _seen(path: Path) -> tuple[bytes, NDArray[np.float32]]:
    """Digest of the pixels, and the picture as a small grey one."""
    try:
        pixels = decode_picture(read_bytes(path))
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take it out of the set") from error
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return digest, cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)


def _near(small: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of rows that differ from the mean row in the same way."""
    if len(small) < 3:
        return []
    own = small - small.mean(1, keepdims=True)
    # Brightness and contrast do not count.
    own /= np.maximum(own.std(1, keepdims=True), 1e-3)
    own -= own.mean(0)
    size = np.linalg.norm(own, axis=1)
    own /= np.maximum(size, 1e-6)[:, None]
    found = []
    for start in range(0, len(own), ROWS):
        alike = own[start : start + ROWS] @ own.T > LEAST_CORRELATION
        for row, column in np.argwhere(alike):
            if start + row < column and min(size[start + row], size[column]) > 1e-2 * SIDE:
                found.append((int(start + row), int(column)))
    return found
