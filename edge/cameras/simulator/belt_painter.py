"""Draws what a camera over a moving belt sees: plates that cross the view, whole and in part."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from edge.cameras.simulator.defects import PAINTERS, Plate
from edge.cameras.simulator.plate import Pixels, draw_belt, draw_brushing, draw_plate, plate_xyxy
from edge.frame import GOOD

DEFECT_TYPES = tuple(PAINTERS)
_KIND, _SURFACE, _DEFECT, _NOISE = 0, 1, 2, 3
_SPARE_PX = 64
# Plates that are drawn once and kept while they cross.
_KEPT = 64


class BeltPainter:
    """Parts lie in the middle of the belt, which runs to the right.

    Args:
        seed: another seed, other surfaces.
        size_wh: of the picture, pixels.
        part_px: length of a part along the belt.
    """

    def __init__(self, seed: int, size_wh: tuple[int, int], part_px: int):
        self._seed = seed
        self._size_wh = width, height = size_wh
        random = np.random.default_rng(seed)
        self._scale = min(width / 320, height / 240)
        belt = draw_belt(random, size_wh, self._scale)
        strip = np.clip(belt, 0, 255).astype(np.uint8)
        # The belt comes round after one view, so that any part of it is one slice.
        self._strip = np.concatenate([strip, strip], axis=1)
        bank = random.normal(0, 2.0, (height + _SPARE_PX, width + _SPARE_PX, 3))
        self._noise = np.rint(bank).astype(np.int8)
        canvas_wh = (round(part_px / 0.68), round(height * 0.6 / 0.7))
        self._canvas_wh = canvas_wh
        self._plate_scale = min(canvas_wh[0] / 320, canvas_wh[1] / 240)
        self._brushing = draw_brushing(
            random, (canvas_wh[0] + _SPARE_PX, canvas_wh[1] + _SPARE_PX), self._plate_scale
        )
        self._plate, self._without_holes, weights = draw_plate(canvas_wh, self._plate_scale)
        is_metal = (weights[..., 0] > 0.9) & (self._plate == self._without_holes).all(axis=2)
        self._metal = np.where(is_metal, 255, 0).astype(np.uint8)
        self._part_px = part_px
        self._kept: OrderedDict[tuple[int, str], Pixels] = OrderedDict()

    def kind(self, index: int, defect_rate: float) -> str:
        """Return `good`, or the defect type of part `index`."""
        random = np.random.default_rng((self._seed, index, _KIND))
        is_bad = random.random() < defect_rate
        return DEFECT_TYPES[random.integers(len(DEFECT_TYPES))] if is_bad else GOOD

    def paint(
        self, frame: int, offset: float, parts: list[tuple[int, float, str]], light: float
    ) -> Pixels:
        """Return (H, W, 3) uint8 BGR.

        Args:
            frame: number of the picture; every one has other noise.
            offset: how far the belt has run, pixels.
            parts: index, left end in pixels and kind of each part in view.
            light: factor on the light.
        """
        width, height = self._size_wh
        start = -round(offset) % width
        picture = self._strip[:, start : start + width].copy()
        for index, left, kind in parts:
            plate = self._part(index, kind)
            top = (height - plate.shape[0]) // 2
            first = round(left)
            begin, end = max(0, first), min(width, first + plate.shape[1])
            if begin < end:
                shown = plate[:, begin - first : end - first]
                picture[top : top + plate.shape[0], begin:end] = shown
        if light != 1:
            picture = np.asarray(cv2.convertScaleAbs(picture, alpha=light), np.uint8)
        random = np.random.default_rng((self._seed, frame, _NOISE))
        top, left_px = random.integers(_SPARE_PX, size=2)
        noise = self._noise[top : top + height, left_px : left_px + width]
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)

    def _part(self, index: int, kind: str) -> Pixels:
        if (index, kind) not in self._kept:
            self._kept[index, kind] = self._draw(index, kind)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[index, kind]

    def _draw(self, index: int, kind: str) -> Pixels:
        plate, mask = self._plate.copy(), np.zeros(self._canvas_wh[::-1], np.uint8)
        if kind != GOOD:
            own = np.random.default_rng((self._seed, index, _DEFECT))
            spoilt = Plate(plate, mask, self._metal, self._without_holes, self._plate_scale)
            PAINTERS[kind](own, spoilt)
        random = np.random.default_rng((self._seed, index, _SURFACE))
        top, left = random.integers(_SPARE_PX, size=2)
        high, wide = mask.shape
        surface = self._brushing[top : top + high, left : left + wide]
        brushed = cv2.add(plate, surface, dtype=cv2.CV_8U)
        x0, y0, x1, y1 = plate_xyxy(self._canvas_wh)
        cut = brushed[y0:y1, x0:x1]
        return np.asarray(cv2.resize(cut, (self._part_px, y1 - y0)), np.uint8)
