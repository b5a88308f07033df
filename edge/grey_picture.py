"""Grey pictures in the shape of colour ones, without two more copies of every pixel.

A frame is (H, W, 3) BGR everywhere. What a monochrome camera sends has one channel: `as_bgr` shows
the same bytes as all three, with a stride of 0. Code that asks `plane_of` works on a third of the
bytes. Code that does not is right all the same, but OpenCV and NumPy copy such an array slowly
(11 ms for 1280 x 1024): whoever hands a whole frame to them takes `solid` first.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def as_bgr(plane: Image) -> Image:
    """Show (H, W) uint8 as (H, W, 3) of equal channels: read-only, in the memory of `plane`."""
    shape = (*plane.shape, 3)
    if not plane.flags.c_contiguous:
        return np.broadcast_to(plane[:, :, np.newaxis], shape)
    # The same in half the time.
    shown: Image = np.ndarray(shape, np.uint8, plane, strides=(*plane.strides, 0))
    shown.flags.writeable = False
    return shown


def plane_of(pixels_bgr: Image) -> Image | None:
    """Return the (H, W) channel of a picture that `as_bgr` made, or of a part cut out of one.

    None for any other, also where its channels happen to be equal.
    """
    is_grey = pixels_bgr.ndim == 3 and pixels_bgr.strides[2] == 0
    return pixels_bgr[:, :, 0] if is_grey else None


def solid(pixels_bgr: Image) -> Image:
    """Return (H, W, 3) uint8 with memory of its own for each channel; the same array if it has."""
    plane = plane_of(pixels_bgr)
    if plane is None:
        return pixels_bgr
    return np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2BGR), np.uint8)
