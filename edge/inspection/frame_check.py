"""Is a frame whole, sharp, well lit and of the right product, as far as good frames tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.frame_limits import FrameFormat, FrameLimits, Layout
from edge.inspection.frame_statistics import COLOUR, NAMES, FrameStatistics, measure

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# What is measured against the small pictures of good frames.
LAYOUT_NAMES = (
    "difference from the usual picture",
    "difference from the usual picture at one place",
    "layout unlike any good frame's",
    "layout unlike any good frame's at one place",
)
ALL_NAMES = (*NAMES, *LAYOUT_NAMES)
# Mean difference of channels, grey levels: less is grey, as after lossy compression.
GREY_COLOUR = 3.0


class FrameFinding(NamedTuple):
    """What is wrong with a frame: one line; `is_refused`: it is not even scored."""

    detail: str
    is_refused: bool


class LayoutDistance:
    """Measures LAYOUT_NAMES."""

    def __init__(self, mean: Floats, deviation: Floats, directions: Floats):
        self._mean, self._deviation, self._directions = mean, deviation, directions

    @classmethod
    def of(cls, layout: Layout) -> LayoutDistance:
        """Read the layout of a bundle."""
        directions = np.array(layout.directions, np.float32).reshape(-1, len(layout.mean))
        mean, deviation = (
            np.array(values, np.float32) for values in (layout.mean, layout.deviation)
        )
        return cls(mean, deviation, directions)

    def __call__(self, small: Floats) -> tuple[float, ...]:
        """Measure one small picture, (CELLS, CELLS, 3) float32."""
        away = small.reshape(-1) - self._mean
        unusual = np.abs(away / self._deviation)
        unlike = np.abs(away - (self._directions @ away) @ self._directions)
        return (
            float(unusual.mean()),
            float(unusual.max()),
            float(unlike.mean()),
            float(unlike.max()),
        )


class FrameCheck:
    """Checks frames against the format and the limits of a bundle; either may be None."""

    def __init__(self, expected: FrameFormat | None, limits: FrameLimits | None):
        self._format = expected
        self._distance: LayoutDistance | None = None
        self._low = self._high = np.zeros(0, np.float32)
        if limits is not None:
            self._distance = LayoutDistance.of(limits.layout)
            ranges = [limits.ranges.get(name, (-np.inf, np.inf)) for name in ALL_NAMES]
            self._low, self._high = np.array(ranges, np.float64).T.astype(np.float32)

    def find(self, pixels_bgr: Image) -> FrameFinding | None:
        """Return what is wrong with a frame, (H, W, 3) uint8 BGR; None if nothing is."""
        expected = self._format
        size_wh = (pixels_bgr.shape[1], pixels_bgr.shape[0])
        if expected is not None and not expected.takes(size_wh):
            return FrameFinding(
                f"frame size: expected {expected.sizes()}, got {size_wh[0]}x{size_wh[1]}; check "
                "the camera's settings, or train and pack with frames of this size",
                is_refused=True,
            )
        if expected is None and self._distance is None:
            return None
        found = measure(pixels_bgr)
        if expected is not None and (problem := colour_problem(found, expected)):
            return FrameFinding(problem, is_refused=True)
        if self._distance is None:
            return None
        problem = limits_problem(values_of(found, self._distance), self._low, self._high)
        return None if problem is None else FrameFinding(problem, is_refused=False)


def values_of(found: FrameStatistics, distance: LayoutDistance) -> Floats:
    """All values of one frame, in the order of ALL_NAMES."""
    return np.append(found.values, np.array(distance(found.small), np.float32))


def colour_problem(found: FrameStatistics, expected: FrameFormat) -> str | None:
    """Say that a frame has colour where good ones are grey, or none where they have; else None."""
    amount = float(found.values[COLOUR])
    if (amount > GREY_COLOUR) == (expected.colour == "colour"):
        return None
    seen = "colour" if amount > GREY_COLOUR else "grey"
    return (
        f"colour: expected {expected.colour} frames, got {seen} (channels differ by {amount:.1f} "
        "grey levels on average); check the camera's pixel format and the product"
    )


def limits_problem(values: Floats, low: Floats, high: Floats) -> str | None:
    """Name the value that is farthest outside its range, and how many others are; None if none."""
    outside = np.maximum(low - values, values - high)
    if not outside.max() > 0:
        return None
    where = np.flatnonzero(outside > 0)
    worst = int(where[np.argmax((outside / np.maximum(high - low, 1e-6))[where])])
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    return (
        f"{ALL_NAMES[worst]} {_short(values[worst])} outside {_short(low[worst])}.."
        f"{_short(high[worst])} of good frames{more}; check camera, lamp, lens and product"
    )


def _short(value: float) -> str:
    return f"{float(value):.0f}" if abs(value) >= 10 else f"{float(value):.2f}"


def is_grey(frames: Sequence[FrameStatistics]) -> bool:
    """Whether none of the frames has colour."""
    return all(frame.values[COLOUR] <= GREY_COLOUR for frame in frames)
