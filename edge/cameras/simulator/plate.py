"""The plate that runs on the simulated conveyor: geometry, surface, belt."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Weights = NDArray[np.float32]


def plate_xyxy(size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the plate's corners before it is turned and shifted."""
    width, height = size_wh
    return round(width * 0.16), round(height * 0.15), round(width * 0.84), round(height * 0.85)


def holes(size_wh: tuple[int, int], scale: float) -> list[tuple[int, int, int]]:
    """Return x, y and radius of the four screw holes and the bore."""
    left, top, right, bottom = plate_xyxy(size_wh)
    margin, radius = round(19 * scale), max(2, round(8 * scale))
    screws = [
        (x, y, radius)
        for x in (left + margin, right - margin)
        for y in (top + margin, bottom - margin)
    ]
    centre = ((left + right) // 2, (top + bottom) // 2, max(3, round(16 * scale)))
    return [*screws, centre]


def draw_belt(random: np.random.Generator, size_wh: tuple[int, int], scale: float) -> Weights:
    """Draw dark rubber with cross ribs, (H, W, 3)."""
    width, height = size_wh
    grain = cv2.GaussianBlur(random.normal(0, 26, (height, width)).astype(np.float32), (3, 3), 0)
    ribs = 5 * np.sin(np.arange(width, dtype=np.float32) * (2 * np.pi / (16 * scale)))
    grey = 46 + grain * 0.5 + ribs[None, :]
    return np.asarray(grey[..., None] * np.array([1.06, 1.0, 0.94], np.float32), np.float32)


def draw_brushing(random: np.random.Generator, size_wh: tuple[int, int], scale: float) -> Weights:
    """Draw the streaks of a brushed surface, (H, W, 3) around 0."""
    grain = random.normal(0, 1, size_wh[::-1]).astype(np.float32)
    streaks = np.asarray(cv2.blur(grain, (max(3, round(25 * scale)), 1)), np.float32)
    streaks *= 5.0 / max(float(streaks.std()), 1e-6)
    return np.repeat(streaks[..., None], 3, axis=2).astype(np.float32)


def draw_plate(size_wh: tuple[int, int], scale: float) -> tuple[Pixels, Pixels, Weights]:
    """Return the plate with holes, the same without, and its cover and shadow (H, W, 2) 0..1."""
    width, height = size_wh
    left, top, right, bottom = plate_xyxy(size_wh)
    cover = np.zeros((height, width), np.uint8)
    cv2.rectangle(cover, (left, top), (right, bottom), 255, -1)
    inner = cv2.erode(cover, np.ones((3, 3), np.uint8), iterations=max(1, round(3 * scale)))
    plain = np.full((height, width, 3), (172, 176, 178), np.uint8)
    # The chamfer: light from the upper left.
    rim = cv2.subtract(cover, inner) > 0
    is_lit = np.add.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)) < 1
    plain[rim & is_lit] = (208, 210, 212)
    plain[rim & ~is_lit] = (120, 122, 124)
    _print_mark(plain, size_wh, scale)
    drilled = plain.copy()
    for x, y, radius in holes(size_wh, scale):
        cv2.circle(drilled, (x, y), radius + max(1, round(scale)), (128, 130, 132), -1, cv2.LINE_AA)
        cv2.circle(drilled, (x, y), radius, (38, 38, 40), -1, cv2.LINE_AA)
        cv2.ellipse(drilled, (x, y), (radius, radius), 0, 10, 80, (214, 214, 214), 1, cv2.LINE_AA)
    shift = np.array([[1, 0, 4 * scale], [0, 1, 4 * scale]], np.float32)
    blur = 2 * max(1, round(4 * scale)) + 1
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, shift, size_wh), (blur, blur), 0)
    weights = np.dstack([cv2.GaussianBlur(cover, (3, 3), 0), shadow])
    return drilled, plain, np.asarray(weights / 255, np.float32)


def _print_mark(plate: Pixels, size_wh: tuple[int, int], scale: float) -> None:
    """Print a name and a code matrix."""
    width, height = size_wh
    ink, thickness = (70, 66, 62), max(1, round(1.5 * scale))
    at = (round(width * 0.29), round(height * 0.36))
    cv2.putText(
        plate, "EI-7", at, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, ink, thickness, cv2.LINE_AA
    )
    cell = max(1, round(3 * scale))
    code = np.random.default_rng(7).integers(0, 2, (8, 8), np.uint8)
    code[:, 0] = code[-1] = 1
    left, top = round(width * 0.60), round(height * 0.57)
    for row, column in np.argwhere(code):
        x, y = left + column * cell, top + row * cell
        plate[y : y + cell, x : x + cell] = ink
