"""Pictures of a plate with holes, the same in every version of NumPy: whole numbers alone.

anomalib was trained on some of them and judged others (tests/models/anomalib); tests import what it
exported and compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE_WH = (96, 80)
# Seeds of pictures: for anomalib to learn from and to validate on, and for tests to judge.
LEARNED, VALIDATED, JUDGED = range(24), range(100, 112), range(200, 212)


def plate(seed: int, defect: str | None = None) -> NDArray[np.uint8]:
    """Draw a plate, (80, 96, 3) uint8 RGB; `defect` is `blot` or `rim`, at the picture's border."""
    width, height = SIZE_WH
    rows, columns = np.indices((height, width))
    noise = _noise(height * width * 3, seed).reshape(height, width, 3) % 12
    level = 90 + (columns + 2 * rows) // 6
    shift = seed % 3
    holes = ((columns + shift) % 24 - 12) ** 2 + ((rows + shift) % 20 - 10) ** 2 < 16
    picture = np.stack([level + 20, level, level - 15], -1) + noise
    picture[holes] = 30 + noise[holes]
    if defect == "blot":
        picture[(columns - 50 - seed % 9) ** 2 + (rows - 40) ** 2 < 100] = 255
    elif defect == "rim":
        picture[:, :3] = (200, 60, 40)
    return np.asarray(picture.clip(0, 255), np.uint8)


def _noise(count: int, seed: int) -> NDArray[np.int64]:
    """Numbers that look random, by a hash of their place."""
    value = np.arange(count, dtype=np.uint64) + np.uint64(seed * 1_000_003)
    value *= np.uint64(2654435761)
    value ^= value >> np.uint64(15)
    value *= np.uint64(2246822519)
    value ^= value >> np.uint64(13)
    return np.asarray(value >> np.uint64(20), np.int64) % 4096
