"""What is measured of a frame to tell a whole, sharp, well-lit one from a damaged one.

None of it needs a network. A frame is read along rows and columns that are spread over it: lines
keep the full resolution in their own direction, in which torn, repeated and blank bands show, and
a few tens of them are enough. So the cost hardly grows with the frame (benchmarks/bad_frames.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import plane_of

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Pixels that are looked at along rows, and as many along columns.
SAMPLES = 20_000
# Side of the small picture, cells.
CELLS = 16
GREY_BINS = 8
# Grey levels: a line is blank within the first, and repeats the next one within the second.
BLANK = 8
REPEATED = 2
# Equal lines have equal weighted sums, others hardly ever.
WEIGHTS = np.random.default_rng(0).random(SAMPLES).astype(np.float32)

# What is measured along a direction, and of the frame as a whole.
BANDS = (
    "step between {}",
    "fine detail across {}",
    "seam between {}",
    "edge between {}",
    "repeated {}",
    "blank dark {}",
    "blank bright {}",
    "copied {}",
)
NAMES = (
    "brightness",
    "contrast",
    *(f"share of grey levels {32 * part}..{32 * part + 31}" for part in range(GREY_BINS)),
    "blue against green",
    "red against green",
    "colour",
    *(name.format("rows") for name in BANDS),
    *(name.format("columns") for name in BANDS),
)
COLOUR = NAMES.index("colour")


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """What is measured of one frame.

    Attributes:
        size_wh: width and height in pixels.
        values: (len(NAMES),) float32, in the order of NAMES.
        small: (CELLS, CELLS, 3) float32 BGR, 0..255, the frame as a small picture.
    """

    size_wh: tuple[int, int]
    values: Floats
    small: Floats


def measure(pixels_bgr: Image) -> FrameStatistics:
    """Measure one frame, (H, W, 3) uint8 BGR of any size."""
    height, width = pixels_bgr.shape[:2]
    plane = plane_of(pixels_bgr)
    across, down = _spread(width, height), _spread(height, width)
    if plane is None:
        columns, rows = cv2.transpose(pixels_bgr[:, across, 1]), pixels_bgr[down]
    else:
        columns, rows = cv2.transpose(plane[:, across]), plane[down]
    grey = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY) if plane is None else rows
    mean, deviation = cv2.meanStdDev(grey)
    shares = cv2.calcHist([grey], [0], None, [GREY_BINS], [0, 256]).ravel() / grey.size
    small = _small(rows)
    blue, green, red = cv2.mean(small)[:3]
    values = (
        mean[0, 0],
        deviation[0, 0],
        *shares,
        blue - green,
        red - green,
        _colour(small),
        *_bands(columns, grey),
        *_bands(grey, columns),
    )
    return FrameStatistics((width, height), np.array(values, np.float32), small)


@lru_cache(maxsize=64)
def _spread(count: int, length: int) -> NDArray[np.intp]:
    """Evenly spread places of lines among `count`, each of `length` pixels; a multiple of CELLS."""
    lines = max(1, round(min(count, SAMPLES / length) / CELLS)) * CELLS
    return ((np.arange(lines) + 0.5) * count / lines).astype(np.intp)


def _small(rows: Image) -> Floats:
    """Average over CELLS x CELLS cells; some columns at both sides are left out for even cells.

    One channel is repeated afterwards.
    """
    spare = rows.shape[1] % CELLS if rows.shape[1] > CELLS else 0
    even = rows[:, spare // 2 : rows.shape[1] - (spare - spare // 2)]
    small = cv2.resize(even, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    return np.asarray(small, np.float32)


def _colour(small: Floats) -> float:
    """Mean difference of the strongest and the weakest channel, grey levels."""
    blue, green, red = cv2.split(small)
    strongest, weakest = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    return float(cv2.mean(strongest)[0] - cv2.mean(weakest)[0])


def _bands(lines: Image, bands: Image) -> tuple[float, ...]:
    """Measure what BANDS names, of bands that cross `lines`.

    Args:
        lines: (n, length) uint8, every place of the frame along some lines.
        bands: (m, width) uint8, some of the bands in their whole width.
    """
    count, length = lines.shape
    if length < 3:
        return (0.0,) * len(BANDS)
    after, before = lines[:, 1:], lines[:, :-1]
    up = cv2.reduce(cv2.subtract(after, before), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    down = cv2.reduce(cv2.subtract(before, after), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    # An edge of a part changes lines to one side; where a frame is torn, both sides occur at once.
    both = np.minimum(up, down)
    step = cv2.norm(after, before, cv2.NORM_L1) / count / (length - 1)
    two_steps = cv2.norm(lines[:, 2:], lines[:, :-2], cv2.NORM_L1) / count / (length - 2)
    brightest, darkest = lines.max(axis=0), lines.min(axis=0)
    blank = brightest - darkest < BLANK
    return (
        step,
        2 - two_steps / max(step, 0.01),
        float(both.max()) / (float(both.sum()) / (length - 1) + count),
        float(np.abs(up - down).max()) / count,
        _repeated(bands),
        _longest(blank & (brightest < 128)) / length,
        _longest(blank & (brightest >= 128)) / length,
        _copied(lines, blank) / length,
    )


def _repeated(bands: Image) -> float:
    """Share of the frame over which one and the same band, not blank, comes again and again."""
    if len(bands) < 2:
        return 0.0
    largest = cv2.absdiff(bands[1:], bands[:-1]).max(axis=1)
    is_same = largest <= REPEATED
    if is_same.any():
        is_same &= bands[1:].max(axis=1) - bands[1:].min(axis=1) >= BLANK
    return _longest(is_same) / len(bands)


def _longest(is_set: NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    if not is_set.any():
        return 0
    padded = np.zeros(len(is_set) + 2, bool)  # np.diff would do it in four times the time
    padded[1:-1] = is_set
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return int((edges[1::2] - edges[::2]).max())


def _copied(lines: Image, blank: NDArray[np.bool_]) -> int:
    """Number of places, not blank, whose values all occur once more and far from there."""
    sums = WEIGHTS[: len(lines)] @ lines.astype(np.float32)
    ascending = np.sort(sums)
    if not (ascending[1:] == ascending[:-1]).any():
        return 0
    order = np.argsort(sums)
    is_same = sums[order[1:]] == sums[order[:-1]]
    is_far = np.abs(order[1:] - order[:-1]) > lines.shape[1] // 8
    return int((is_same & is_far & ~blank[order[1:]]).sum())
