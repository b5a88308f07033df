"""Learn size, colour and limits from frames of good parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.conformal import upper_bound
from edge.bundle.frame_limits import (
    FRAME_LIMITS_SCHEMA,
    FrameFormat,
    FrameLimits,
    FrameQuality,
    Layout,
)
from edge.bundle.frame_limits_file import frames_file
from edge.data.frame_record import FrameRecord
from edge.inspection.frame_check import ALL_NAMES, LAYOUT_NAMES, LayoutDistance, is_grey
from edge.inspection.frame_quality import quality_range
from edge.inspection.frame_statistics import FrameStatistics
from edge.toolchain.packing.bundle_folder import write_text

Values = NDArray[np.float64]

# More sizes than these are recorded as ranges, widened at both ends by this share.
SIZES_LISTED = 8
SIZE_MARGIN = 1 / 8
# Parts are dealt into so many shares; each is held against limits from the others.
SHARES = 8
# Limits lie beyond the extreme of all good frames by this many of their deviations: a fixed part,
# one that shrinks with the number of frames, and up to MOST_NEEDED what held-out parts needed.
MARGIN = 0.5
MARGIN_OF_FEW = 60.0
MOST_NEEDED = 1.0
DIRECTIONS = 6
# Fewer frames tell nothing of the rest.
LEAST_FRAMES = 6
# Least deviations: what good frames show by rounding and noise alone.
LEAST_LAYOUT = 4.0
LEAST = {
    "brightness": 1.0,
    "contrast": 1.0,
    "share": 0.005,
    "blue": 1.0,
    "red": 1.0,
    "colour": 1.0,
    "step": 0.02,
    "fine": 0.05,
    "seam": 0.05,
    "edge": 0.05,
    "repeated": 0.01,
    "blank": 0.01,
    "copied": 0.01,
    "difference": 0.05,
    "layout": 0.1,
}
# Positive values that spread by ratios; their limits are fitted to logarithms.
BY_RATIO = ("step", "seam", "edge", "difference", "layout")


class LearnedFrames(NamedTuple):
    """What a recipe says of frames: `frames`, or `frame_quality` for a run from before it."""

    frames: FrameFormat | None = None
    frame_quality: FrameQuality | None = None


def learn_frames(
    folder: Path,
    record: FrameRecord | None,
    grey: Sequence[tuple[float, float]] = (),
    product: str | None = None,
) -> LearnedFrames:
    """Learn from a run's good frames, and write the limits into the bundle at `folder`.

    Args:
        folder: bundle being written.
        record: of the run; None in old runs, which have `grey` (see Calibration) at most.
        grey: see Calibration.
        product: whose frames these are; None for all parts of the bundle.
    """
    if record is None or not record.frames:
        return LearnedFrames(frame_quality=quality_range(list(grey)) if grey else None)
    limits = fit_limits(record.frames, record.groups)
    if limits is not None:
        text = limits.model_dump_json(by_alias=True)
        write_text(folder / frames_file(product), text)
    return LearnedFrames(frames=frame_format(record.frames))


def frame_format(frames: Sequence[FrameStatistics]) -> FrameFormat:
    """Record sizes and colour of good frames."""
    sizes = sorted({frame.size_wh for frame in frames})
    is_listed = len(sizes) <= SIZES_LISTED
    margin = 0.0 if is_listed else SIZE_MARGIN
    width, height = (
        (max(1, int(min(sides) * (1 - margin))), int(max(sides) * (1 + margin)))
        for sides in zip(*sizes)
    )
    return FrameFormat(
        sizes_wh=tuple(sizes) if is_listed else (),
        width=width,
        height=height,
        colour="grey" if is_grey(frames) else "colour",
    )


def fit_limits(frames: Sequence[FrameStatistics], groups: Sequence[str]) -> FrameLimits | None:
    """Learn limits from frames of good parts; None from fewer than LEAST_FRAMES.

    The checks are tried on parts that took no part in their limits: their parts are dealt into
    shares, and limits from the other shares are held against each. What held-out frames needed
    widens the limits, and how many of them stay outside all the same gives the stated rate.

    Args:
        frames: of good parts, that no network needs to have held out: none learns here.
        groups: physical part of each frame.
    """
    if len(frames) < LEAST_FRAMES:
        return None
    shares = _shares(groups)
    small = np.stack([frame.small.reshape(-1) for frame in frames]).astype(np.float64)
    measured = np.stack([frame.values for frame in frames]).astype(np.float64)
    crossed = np.zeros((len(frames), len(LAYOUT_NAMES)))
    for share in set(shares.tolist()):
        own = shares == share
        distance = LayoutDistance.of(_layout(small[~own]))
        crossed[own] = [distance(picture.astype(np.float32)) for picture in small[own]]
    values = _scaled(np.hstack([measured, crossed]))
    low, high, outside = _limits(values, shares)
    ranges = {
        name: (_natural(name, lowest), _natural(name, highest))
        for name, lowest, highest in zip(ALL_NAMES, low, high, strict=True)
    }
    independent = len(set(groups))
    return FrameLimits(
        schema=FRAME_LIMITS_SCHEMA,
        frames=len(frames),
        groups=independent,
        outside=int(outside.sum()),
        false_alarms95=_bound(independent, len({g for g, o in zip(groups, outside) if o})),
        ranges=ranges,
        layout=_layout(small),
    )


def _limits(values: Values, shares: NDArray[np.intp]) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Low and high limits, (K,) each, and which frames are outside limits of the other shares."""
    margin = MARGIN + MARGIN_OF_FEW / len(values)
    needed = np.zeros_like(values)
    for share in set(shares.tolist()):
        own = shares == share
        others = values[~own]
        beyond = np.maximum(others.min(axis=0) - values[own], values[own] - others.max(axis=0))
        needed[own] = np.maximum(beyond, 0) / _spread(others)
    most = np.minimum(needed.max(axis=0), MOST_NEEDED)
    limits = margin + most
    room = limits * _spread(values)
    return (
        values.min(axis=0) - room,
        values.max(axis=0) + room,
        (needed > limits).any(axis=1),
    )


def _shares(groups: Sequence[str]) -> NDArray[np.intp]:
    names = sorted(set(groups))
    np.random.default_rng(0).shuffle(names)
    share = {name: index % SHARES for index, name in enumerate(names)}
    if len(names) < 2:
        return np.arange(len(groups)) % SHARES
    return np.array([share[group] for group in groups])


def _layout(small: Values) -> Layout:
    mean, deviation = small.mean(axis=0), np.maximum(small.std(axis=0), LEAST_LAYOUT)
    count = min(DIRECTIONS, len(small) // 4)
    directions = np.linalg.svd(small - mean, full_matrices=False)[2][:count]
    return Layout(
        mean=tuple(np.round(mean, 2).tolist()),
        deviation=tuple(np.round(deviation, 2).tolist()),
        directions=tuple(tuple(each) for each in np.round(directions, 4).tolist()),
    )


def _kind(name: str) -> str:
    return name.split(" ", 1)[0]


def _is_by_ratio(name: str) -> bool:
    return _kind(name) in BY_RATIO


RATIOS = np.array([_is_by_ratio(name) for name in ALL_NAMES])
LEAST_SPREAD = np.array([LEAST[_kind(name)] for name in ALL_NAMES])


def _scaled(values: Values) -> Values:
    return np.where(RATIOS, np.log1p(np.maximum(values, 0)), values)


def _natural(name: str, value: float) -> float:
    return round(float(np.expm1(value)) if _is_by_ratio(name) else float(value), 5)


def _spread(values: Values) -> Values:
    return np.maximum(values.std(axis=0), LEAST_SPREAD)


def _bound(parts: int, outside: int) -> float:
    """Rate that holds with 95 % confidence after `outside` of `parts`, by the binomial."""
    rate = min((outside + 1) / (parts + 1), 1 - 1e-9)
    return round(upper_bound(parts, rate), 4)
