"""A frame that a geometry cannot be applied to, and the check of a frame's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FrameUnfit(ValueError):
    """Why a frame does not fit, in one line; such a frame may not pass."""


def size_of(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return width and height of (H, W) or (H, W, 3) uint8 in pixels."""
    return (image.shape[1], image.shape[0])


def check_size(image: NDArray[np.uint8], size_wh: tuple[int, int], what: str) -> None:
    """Refuse a frame of another size than `what` was made for.

    Raises:
        FrameUnfit: naming both sizes.
    """
    found = size_of(image)
    if found != size_wh:
        raise FrameUnfit(
            f"{what}: expected a frame of {size_wh[0]}x{size_wh[1]}, got {found[0]}x{found[1]}; "
            "check the camera's settings, or calibrate with frames of this size"
        )
