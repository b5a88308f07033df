"""The same good part in another shift: other light, another lamp, a fixture that sits elsewhere.

Every change takes (H, W, 3) uint8 BGR pixels and returns a changed copy of the same size. What
comes in from outside of the frame is mirrored at its border.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.view_transform import View

Image = NDArray[np.uint8]
Change = Callable[[Image], Image]
# Exposure, share of blue against red, pixels of the frame and degrees that a shift may differ by.
EXPOSURE = 0.15
WARMTH = 0.06
PIXELS = 5.0
DEGREES = 2.0


def exposed(image: Image, blue: float, green: float, red: float) -> Image:
    """Scale the channels, and clip as a sensor does."""
    gains = np.array([blue, green, red], np.float32)
    return np.asarray(np.clip(np.rint(image * gains), 0, 255), np.uint8)


def moved(image: Image, right: float, down: float, degrees: float) -> Image:
    """Move by pixels, and turn around the centre, counter-clockwise."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (right, down)
    warped = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)


OTHER_SHIFT: Mapping[str, Change] = {
    "darker": lambda image: exposed(image, *[1 - EXPOSURE] * 3),
    "brighter": lambda image: exposed(image, *[1 + EXPOSURE] * 3),
    "warmer": lambda image: exposed(image, 1 - WARMTH, 1, 1 + WARMTH),
    "cooler": lambda image: exposed(image, 1 + WARMTH, 1, 1 - WARMTH),
    "moved": lambda image: moved(image, PIXELS, PIXELS, 0),
    "turned": lambda image: moved(image, 0, 0, DEGREES),
}
# Changes that a grey camera does not show.
COLOUR_CHANGES = ("warmer", "cooler")


def is_grey(image: Image) -> bool:
    """Whether all three channels of a picture are equal, as a grey camera's are."""
    return bool((image == image[..., :1]).all())


def changed_view(view: View, change: Change) -> Image:
    """Change the pixels of a view; what its geometry hides stays hidden."""
    shown = view.pixels_bgr if view.shown_bgr is None else view.shown_bgr
    return view.hide(change(shown))
