"""Heat maps on one scale for a whole report, so that pictures can be compared."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.evaluation.evaluate import Evaluation

# What a picture looks like under its map: colours first, the part just to be recognised.
COLOUR_SHARE = 0.65


class HeatScale(NamedTuple):
    """Map values of the darkest and the brightest colour."""

    low: float
    high: float

    @classmethod
    def of(cls, result: Evaluation) -> HeatScale:
        """From what good parts usually show up to the threshold.

        A picture far below the threshold still shows where it stands out.
        """
        low = result.ground if math.isfinite(result.ground) else 0.0
        return cls(low if low < result.threshold else 0.0, result.threshold)

    def draw(
        self, pixels: NDArray[np.uint8], anomaly_map: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Blend a map of any size into (H, W, 3) uint8 BGR."""
        size_wh = (pixels.shape[1], pixels.shape[0])
        values = cv2.resize(anomaly_map, size_wh, interpolation=cv2.INTER_LINEAR)
        relative = (values - self.low) / max(self.high - self.low, 1e-12)
        levels = np.clip(255 * relative, 0, 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
        grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        return np.asarray(cv2.addWeighted(colours, COLOUR_SHARE, grey, 1 - COLOUR_SHARE, 0))
