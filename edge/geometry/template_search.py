"""Finds a taught template in a picture: where it is and how far it is turned, to parts of a pixel.

Coarse to fine. On the coarsest level of a pyramid the normalised correlation tries every place and
angle in range, and the best few are followed down. Then Gauss-Newton steps fit place and angle on
the pixels themselves, with brightness and contrast left free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.points import Matrix

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# The coarsest level keeps at least so many pixels of the template's shorter side.
COARSEST_SIDE = 16
# Templates up to this side are tried at several places and angles, larger ones are fitted.
TRIED_SIDE = 64
# Places that are followed from the coarsest level on; textures that repeat have several.
FOLLOWED = 6
# Places whose score is lower than the best one's by more are given up.
FOLLOWED_SCORE = 0.2
# How far, in pixels of a level, the place found on the level above may be off.
SLACK_PX = 2
# Coarsest steps of the angle: so far do the template's corners move from one to the next.
COARSE_STEP_PX = 1.2
MAX_STEPS = 10
# Smaller steps change nothing that can be measured.
SMALL_STEP_PX = 0.003
# Where the picture has less contrast than this share of the template's, there is nothing to find.
LEAST_CONTRAST = 0.05


class Place(NamedTuple):
    """How far the template's middle has moved from where it was taught, and how well it fits.

    `x`, `y` in pixels of the level, `angle` in radians, clockwise as seen; `score` is the
    normalised correlation, -1..1.
    """

    x: float
    y: float
    angle: float
    score: float


class TemplateSearch:
    """Searches pictures for one template.

    Args:
        template: (h, w) uint8, both at least 2 COARSEST_SIDE.
        corner_xy: where its top left pixel lies in the view that it was taught in.
        max_shift_px: how far it may have moved along x and y; None searches the whole picture.
        max_angle_deg: how far it may be turned, to either side.
    """

    def __init__(
        self,
        template: Image,
        corner_xy: tuple[int, int],
        max_shift_px: float | None,
        max_angle_deg: float,
    ):
        self._max_shift_px = max_shift_px
        self._max_angle = math.radians(max_angle_deg)
        middle = (np.array(template.shape[::-1]) - 1) / 2
        pivot = np.array(corner_xy) + middle
        self._levels = [_Level(template, middle, pivot)]
        while min(template.shape) >= 2 * COARSEST_SIDE:
            template = np.asarray(cv2.pyrDown(template), np.uint8)
            scale = 2.0 ** len(self._levels)
            self._levels.append(_Level(template, middle / scale, pivot / scale))

    def candidates(self, grey: Image) -> list[Place]:
        """Return the places in a picture, (H, W) uint8, that fit best, best first, at least one."""
        pictures = [grey]
        for _ in self._levels[1:]:
            pictures.append(np.asarray(cv2.pyrDown(pictures[-1]), np.uint8))
        step = COARSE_STEP_PX / self._levels[-1].reach
        coarsest = self._levels[-1]
        places = coarsest.everywhere(pictures[-1], self._shift_px(), self._angles(step))
        for level, picture in list(zip(self._levels, pictures))[-2::-1]:
            places = [Place(2 * p.x, 2 * p.y, p.angle, p.score) for p in places]
            step /= 2
            if max(level.pixels.shape) <= TRIED_SIDE:
                places = [level.near(picture, place, step) for place in places]
            else:
                places = [level.fitted(picture, place) for place in places]
            places = level.best(places, FOLLOWED // 2)
        return self._levels[0].best(
            (self._levels[0].fitted(pictures[0], place) for place in places), FOLLOWED
        )

    def _shift_px(self) -> float | None:
        scale = 2.0 ** (len(self._levels) - 1)
        return None if self._max_shift_px is None else self._max_shift_px / scale

    def _angles(self, step: float) -> Floats:
        count = math.ceil(self._max_angle / step)
        return np.linspace(-self._max_angle, self._max_angle, 2 * count + 1, dtype=np.float32)


class _Level:
    """The template on one level of the pyramid.

    Args:
        pixels: (h, w) uint8.
        middle: of the template in its own pixels, pixels of the level.
        pivot: where the middle lies in the view, pixels of the level.
    """

    def __init__(self, pixels: Image, middle: Matrix, pivot: Matrix):
        self.pixels = pixels
        self.reach = math.hypot(*pixels.shape) / 2
        self._middle, self._pivot = middle, pivot
        values = pixels.astype(np.float32)
        self._deviation = float(values.std())
        self._flat = _flattened(values)
        # How the flattened template changes when it moves by a pixel or turns by a radian.
        along_x = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        along_y = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        x, y = (
            np.arange(n, dtype=np.float32) - m for n, m in zip(pixels.shape[::-1], self._middle)
        )
        turned = along_y * x.astype(np.float32) - along_x * y.astype(np.float32)[:, None]
        slopes = np.stack([along_x.ravel(), along_y.ravel(), turned.ravel()])
        slopes /= max(self._deviation * math.sqrt(values.size), 1e-6)
        # Brightness and contrast are free: what only changes those tells nothing.
        slopes -= slopes.mean(axis=1, keepdims=True)
        slopes -= np.outer(slopes @ self._flat, self._flat)
        self._slopes = slopes
        self._inverse = np.linalg.pinv((slopes @ slopes.T).astype(np.float64))

    def everywhere(self, picture: Image, shift_px: float | None, angles: Floats) -> list[Place]:
        """Try every place within `shift_px` at every angle; return FOLLOWED, best first."""
        found = []
        for angle in angles:
            scores, margin = self._scores(picture, float(angle), shift_px)
            for _ in range(FOLLOWED // 2):
                _, score, _, (column, row) = cv2.minMaxLoc(scores)
                x, y = _turn(float(angle)) @ (np.array([column, row]) - margin)
                found.append(Place(float(x), float(y), float(angle), float(score)))
                # What overlaps by more than half is the same place.
                half_h, half_w = (max(1, side // 2) for side in self.pixels.shape)
                top, left = max(0, row - half_h), max(0, column - half_w)
                scores[top : row + half_h, left : column + half_w] = -1
        return self.best(found, FOLLOWED)

    def near(self, picture: Image, place: Place, step: float) -> Place:
        """Try the places around one, at its angle and one step to either side."""
        found = []
        for angle in (place.angle - step, place.angle, place.angle + step):
            window = self._window(picture, place, angle, (SLACK_PX, SLACK_PX))
            scores = cv2.matchTemplate(window, self.pixels, cv2.TM_CCOEFF_NORMED)
            _, score, _, (column, row) = cv2.minMaxLoc(scores)
            x, y = _turn(angle) @ (np.array([column, row]) - SLACK_PX)
            found.append(Place(place.x + float(x), place.y + float(y), angle, float(score)))
        return max(found, key=lambda each: each.score)

    def fitted(self, picture: Image, place: Place) -> Place:
        """Fit place and angle by the pixels (inverse compositional Gauss-Newton steps)."""
        x, y, angle, score = place
        for _ in range(MAX_STEPS):
            window = self._window(picture, Place(x, y, angle, score), angle, (0, 0))
            seen = _flattened(window.astype(np.float32))
            score = float(seen @ self._flat)
            dx, dy, turn = self._inverse @ (self._slopes @ (seen - self._flat))
            if math.hypot(dx, dy) > self.reach or abs(turn) > 1:
                break  # nothing of the template is here
            angle -= turn
            back_x, back_y = _turn(angle) @ (dx, dy)
            x, y = x - float(back_x), y - float(back_y)
            if math.hypot(dx, dy) + abs(turn) * self.reach < SMALL_STEP_PX:
                break
        return Place(x, y, angle, score)

    def best(self, places: Iterable[Place], count: int) -> list[Place]:
        """Return the best places of those that differ, at most `count`."""
        kept: list[Place] = []
        for place in sorted(places, key=lambda each: -each.score):
            if len(kept) == count or (kept and place.score < kept[0].score - FOLLOWED_SCORE):
                break
            if all(self._differ(place, other) for other in kept):
                kept.append(place)
        return kept

    def _differ(self, one: Place, other: Place) -> bool:
        is_apart = math.hypot(one.x - other.x, one.y - other.y) > self.reach / 2
        return is_apart or abs(one.angle - other.angle) * self.reach > 4 * COARSE_STEP_PX

    def _scores(
        self, picture: Image, angle: float, shift_px: float | None
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Return the correlation at every place for one angle, and the index of no shift."""
        height, width = picture.shape
        farthest = np.maximum(self._pivot, (width, height) - self._pivot)
        limits = np.abs(_turn(angle)) @ farthest
        if shift_px is not None:
            limits = np.minimum(limits, shift_px)
        margin = np.ceil(limits).astype(int)
        window = self._window(
            picture, Place(0, 0, angle, 0), angle, (int(margin[0]), int(margin[1]))
        )
        scores = cv2.matchTemplate(window, self.pixels, cv2.TM_CCOEFF_NORMED)
        h, w = self.pixels.shape
        mean, square = (
            cv2.boxFilter(each, cv2.CV_32F, (w, h), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
            for each in (window.astype(np.float32), np.square(window, dtype=np.float32))
        )
        rows, columns = scores.shape
        variance = (square - mean * mean)[:rows, :columns]
        scores[variance < (LEAST_CONTRAST * self._deviation) ** 2] = -1
        return np.nan_to_num(scores, nan=-1, posinf=-1, neginf=-1), margin

    def _window(self, picture: Image, place: Place, angle: float, margin: tuple[int, int]) -> Image:
        """Cut out what lies under the template at a place, with a margin, turned upright."""
        turn = _turn(angle)
        shift = self._pivot + np.array([place.x, place.y]) - turn @ (self._middle + margin)
        height, width = self.pixels.shape
        return np.asarray(
            cv2.warpAffine(
                picture,
                np.column_stack([turn, shift]),
                (width + 2 * margin[0], height + 2 * margin[1]),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )


def _turn(angle: float) -> Matrix:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _flattened(values: Floats) -> Floats:
    """Return the pixels as one row of mean 0 and length 1, or of zeros."""
    flat = values.ravel() - values.mean()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6), np.float32)
