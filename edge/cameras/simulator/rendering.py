"""Draws the parts of the simulated conveyor: a milled plate with holes and a mark, on a belt.

Drawing is deterministic per (seed, index). A part has the same place, light and texture with and
without a defect. 320 x 240 takes about 2 ms on a desktop core.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.cameras.simulator.defects import PAINTERS, Plate
from edge.cameras.simulator.plate import Pixels, Weights, draw_belt, draw_brushing, draw_plate
from edge.frame import GOOD

DEFECT_TYPES = tuple(PAINTERS)
# Independent random streams per part, so that a new draw in one does not shift the others.
_KIND, _POSE, _DEFECT = 0, 1, 2
# How far the banks of texture and noise exceed the picture; every part takes another cut-out.
_SPARE_PX = 96


class ConveyorPainter:
    """Everything that parts have in common is drawn once, here."""

    def __init__(self, seed: int, size_wh: tuple[int, int]):
        self._seed = seed
        self._size_wh = size_wh
        width, height = size_wh
        self._scale = min(width / 320, height / 240)
        random = np.random.default_rng(seed)
        self._belt = draw_belt(random, (width + _SPARE_PX, height), self._scale)
        spare_wh = (width + _SPARE_PX, height + _SPARE_PX)
        self._brushing = draw_brushing(random, spare_wh, self._scale)
        bank = random.standard_normal((height + _SPARE_PX, width + _SPARE_PX, 3), np.float32)
        self._noise = (2.0 * bank).astype(np.float32)
        self._plate, self._without_holes, self._weights = draw_plate(size_wh, self._scale)
        is_metal = (self._weights[..., 0] > 0.9) & (self._plate == self._without_holes).all(axis=2)
        self._metal = np.where(is_metal, 255, 0).astype(np.uint8)
        self._ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]

    def kind(self, index: int, defect_rate: float) -> str:
        """Return `good`, or the defect type of part `index`."""
        random = np.random.default_rng((self._seed, index, _KIND))
        is_bad = random.random() < defect_rate
        return DEFECT_TYPES[random.integers(len(DEFECT_TYPES))] if is_bad else GOOD

    def paint(self, index: int, kind: str) -> tuple[Pixels, Pixels]:
        """Return the picture (H, W, 3) uint8 BGR and the defect's mask (H, W) uint8, 0 or 255."""
        random = np.random.default_rng((self._seed, index, _POSE))
        plate, mask = self._plate.copy(), np.zeros(self._size_wh[::-1], np.uint8)
        cut = _cut(self._brushing, random, self._size_wh)
        if kind != GOOD:
            own = np.random.default_rng((self._seed, index, _DEFECT))
            PAINTERS[kind](own, Plate(plate, mask, self._metal, self._without_holes, self._scale))
        brushed = cv2.add(plate, cut, dtype=cv2.CV_8U)
        pose, size_wh = self._pose(random), self._size_wh
        turned = cv2.warpAffine(brushed, pose, size_wh, borderMode=cv2.BORDER_REPLICATE)
        weights = cv2.warpAffine(self._weights, pose, size_wh)
        mask_there = cv2.warpAffine(mask, pose, size_wh, flags=cv2.INTER_NEAREST)
        pixels = self._on_belt(
            random, np.asarray(turned, np.uint8), np.asarray(weights, np.float32)
        )
        return pixels, np.asarray(mask_there, np.uint8)

    def black(self, index: int) -> Pixels:
        """Return what the camera sees with the lamp off: noise around 0."""
        random = np.random.default_rng((self._seed, index, _POSE))
        noise = _cut(self._noise, random, self._size_wh)
        return np.asarray(np.clip(noise, 0, 255).astype(np.uint8))

    def _pose(self, random: np.random.Generator) -> NDArray[np.float64]:
        width, height = self._size_wh
        rotation = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-1.5, 1.5), 1.0)
        pose = np.array(rotation, np.float64)
        pose[:, 2] += random.uniform(-3, 3, 2) * self._scale
        return pose

    def _on_belt(self, random: np.random.Generator, plate: Pixels, weights: Weights) -> Pixels:
        belt = _cut(self._belt, random, self._size_wh)
        shadow = 1 - 0.45 * weights[..., 1:]
        cover = weights[..., :1]
        light = random.uniform(0.96, 1.04) + random.uniform(-0.03, 0.03) * self._ramp
        scene = (belt * shadow * (1 - cover) + plate * cover) * light
        scene += _cut(self._noise, random, self._size_wh)
        return np.asarray(np.clip(scene, 0, 255).astype(np.uint8))


def _cut(bank: Weights, random: np.random.Generator, size_wh: tuple[int, int]) -> Weights:
    """Return a view of `bank` in the size of the picture, from a random corner."""
    top = int(random.integers(bank.shape[0] - size_wh[1] + 1))
    left = int(random.integers(bank.shape[1] - size_wh[0] + 1))
    return bank[top : top + size_wh[1], left : left + size_wh[0]]
