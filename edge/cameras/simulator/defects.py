"""Defects of the simulated plate, each painted into the plate and into the mask."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge.cameras.simulator.plate import Pixels, holes, plate_xyxy


class Plate:
    """One plate to spoil, before it is turned and put on the belt.

    Attributes:
        pixels: (H, W, 3) uint8 BGR, changed in place.
        mask: (H, W) uint8, 255 where there is a defect, changed in place.
        metal: (H, W) uint8, 255 on the surface, 0 in holes and beside the plate.
        without_holes: the pixels of a plate that was not drilled.
    """

    def __init__(
        self, pixels: Pixels, mask: Pixels, metal: Pixels, without_holes: Pixels, scale: float
    ):
        self.pixels = pixels
        self.mask = mask
        self.metal = metal
        self.without_holes = without_holes
        self.scale = scale
        self.size_wh = (pixels.shape[1], pixels.shape[0])

    def length(self, px: float) -> int:
        """Scale a length given for 320 x 240, at least one pixel."""
        return max(1, round(px * self.scale))

    def spot_xy(self, random: np.random.Generator, margin_px: float) -> tuple[int, int]:
        """Return a random place at least `margin_px` (at 320 x 240) inside the plate."""
        left, top, right, bottom = plate_xyxy(self.size_wh)
        margin = self.length(margin_px)
        x = random.integers(left + margin, max(left + margin + 1, right - margin))
        y = random.integers(top + margin, max(top + margin + 1, bottom - margin))
        return int(x), int(y)

    def blend(self, cover: Pixels, colour_bgr: tuple[int, int, int], strength: float) -> None:
        """Lay a colour over the metal where `cover` (H, W) says so, and mark it as defective."""
        cover = cover & self.metal
        left, top, width, height = cv2.boundingRect(cover)
        area = np.s_[top : top + height, left : left + width]
        weight = (strength / 255.0) * cover[area][..., None].astype(np.float32)
        mixed = self.pixels[area] * (1 - weight) + np.array(colour_bgr, np.float32) * weight
        self.pixels[area] = mixed.astype(np.uint8)
        self.mask[area] |= np.where(cover[area] > 40, 255, 0).astype(np.uint8)


def _scratch(random: np.random.Generator, plate: Plate) -> None:
    """A thin bright line with a dark edge, slightly bent."""
    x, y = plate.spot_xy(random, 45)
    angle = random.uniform(0, np.pi)
    steps = np.linspace(-0.5, 0.5, 6) * plate.length(random.uniform(45, 85))
    bend = random.normal(0, 1.5, 6) * plate.scale
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    line = np.array([x, y]) + steps[:, None] * along + bend[:, None] * across
    for colour, offset, width in (((74, 72, 70), 1.2, 1.6), ((238, 240, 240), 0.0, 1.2)):
        points = np.rint(line + offset * plate.scale).astype(np.int32)
        cover = np.zeros(plate.mask.shape, np.uint8)
        cv2.polylines(cover, [points], False, 255, plate.length(width), cv2.LINE_AA)
        plate.blend(cover, colour, 0.9)


def _spot(random: np.random.Generator, plate: Plate) -> None:
    """A stain of rust."""
    x, y = plate.spot_xy(random, 14)
    cover = np.zeros(plate.mask.shape, np.uint8)
    for _ in range(3):
        centre = (x + plate.length(random.uniform(0, 5)), y + plate.length(random.uniform(0, 5)))
        axes = (plate.length(random.uniform(3, 7)), plate.length(random.uniform(3, 6)))
        cv2.ellipse(cover, centre, axes, random.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
    plate.blend(cover, (38, 62, 104), random.uniform(0.65, 0.85))


def _dent(random: np.random.Generator, plate: Plate) -> None:
    """A hollow: the side towards the light is dark, the other one bright."""
    x, y = plate.spot_xy(random, 22)
    radius, shift = plate.length(random.uniform(8, 13)), plate.length(4)
    hollow = np.zeros(plate.mask.shape, np.uint8)
    cv2.circle(hollow, (x, y), radius, 255, -1, cv2.LINE_AA)
    for colour, side in (((88, 90, 92), shift), ((250, 252, 252), -shift)):
        away = np.zeros_like(hollow)
        cv2.circle(away, (x + side, y + side), radius, 255, -1, cv2.LINE_AA)
        blur = 2 * plate.length(1.5) + 1
        plate.blend(_soft(hollow & ~away, blur), colour, 0.85)
    plate.mask |= hollow & plate.metal


def _missing_hole(random: np.random.Generator, plate: Plate) -> None:
    """A hole that nobody drilled."""
    places = holes(plate.size_wh, plate.scale)
    x, y, radius = places[random.integers(len(places))]
    hole = np.zeros(plate.mask.shape, np.uint8)
    cv2.circle(hole, (x, y), radius + plate.length(2), 255, -1)
    plate.pixels[hole > 0] = plate.without_holes[hole > 0]
    plate.mask |= hole


def _smudge(random: np.random.Generator, plate: Plate) -> None:
    """A pale film of grease with soft edges."""
    x, y = plate.spot_xy(random, 30)
    cover = np.zeros(plate.mask.shape, np.uint8)
    axes = (plate.length(random.uniform(16, 26)), plate.length(random.uniform(9, 15)))
    cv2.ellipse(cover, (x, y), axes, random.uniform(0, 180), 0, 360, 255, -1)
    blur = 2 * plate.length(5) + 1
    plate.blend(_soft(cover, blur), (84, 92, 96), random.uniform(0.35, 0.5))


def _soft(cover: Pixels, blur: int) -> Pixels:
    return np.asarray(cv2.GaussianBlur(cover, (blur, blur), 0), np.uint8)


PAINTERS: dict[str, Callable[[np.random.Generator, Plate], None]] = {
    "scratch": _scratch,
    "spot": _spot,
    "dent": _dent,
    "missing_hole": _missing_hole,
    "smudge": _smudge,
}
