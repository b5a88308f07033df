"""Pictures of a part with clear marks, and the same part moved and turned."""

from __future__ import annotations

import cv2
import numpy as np


def part_picture() -> np.ndarray:
    """Blurred noise with a few shapes, (240, 320, 3) uint8."""
    noise = np.random.default_rng(3).integers(0, 256, (240, 320), np.uint8)
    grey = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 40, 200, cv2.NORM_MINMAX)
    cv2.rectangle(grey, (140, 105), (190, 150), 230, -1)
    cv2.circle(grey, (160, 130), 12, 20, -1)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def moved_part(
    picture: np.ndarray, shift: tuple[float, float], degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture moved and turned, and the (2, 3) matrix that moved it."""
    matrix = cv2.getRotationMatrix2D((160, 120), degrees, 1.0)
    matrix[:, 2] += shift
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), matrix
