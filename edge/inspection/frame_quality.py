"""Does a frame look like a frame at all: lamp on, lens free, colours in range."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.frame_limits import FrameQuality

# Good frames' range is widened on both sides by its own width, at least by this many grey levels:
# the check is for lamps and lenses; what a part may look like is the model's business.
MIN_MARGIN = 16.0


def grey_statistics(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and deviation over the channels of (H, W, 3) uint8, 0..255, of every fourth row."""
    means, stds = (side.ravel().tolist() for side in cv2.meanStdDev(image[::4]))
    mean = sum(means) / len(means)
    # Variance over everything: within channels plus between their means.
    within = sum(std * std for std in stds) / len(stds)
    between = sum((each - mean) * (each - mean) for each in means) / len(means)
    return mean, (within + between) ** 0.5


def quality_range(statistics: list[tuple[float, float]]) -> FrameQuality:
    """Derive the accepted range from the (mean, std) of good frames."""
    means, stds = zip(*statistics)
    low_std, high_std = _widened(stds)
    # Half the contrast of the flattest good frame is suspect however wide the range is.
    return FrameQuality(mean=_widened(means), std=(max(low_std, min(stds) / 2), high_std))


def quality_problem(grey: tuple[float, float], accepted: FrameQuality) -> str | None:
    """Describe why this grey mean and deviation are outside the accepted range; None if not."""
    for name, value, (low, high) in zip(
        ("brightness", "contrast"), grey, (accepted.mean, accepted.std)
    ):
        if not low <= value <= high:
            return (
                f"{name} {value:.0f} outside {low:.0f}..{high:.0f} of good frames; "
                "check lamp, lens and exposure"
            )
    return None


def _widened(values: tuple[float, ...]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(high - low, MIN_MARGIN)
    return max(0.0, low - margin), min(255.0, high + margin)
