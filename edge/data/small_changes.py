"""Views of one good picture as the same part might give the next time: moved, turned, exposed.

They stand in for parts that were not seen yet. They show less than other parts would, so nothing
that is measured on them says how other parts do.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.view_transform import View

Image = NDArray[np.uint8]
# What moves: shares of the shorter side, degrees, and gains of all channels.
SHIFT = 0.02
DEGREES = 2.0
GAIN = 1.12
KINDS = ("shift", "rotation", "exposure")


def small_changes(view: View, count: int) -> list[tuple[str, Image]]:
    """Return `count` changed copies of a view, as kind and (H, W, 3) uint8 BGR pixels.

    Kinds take turns. What comes in from outside is mirrored at the border; what the geometry hides
    stays hidden.
    """
    shown = view.pixels_bgr if view.shown_bgr is None else view.shown_bgr
    return [(kind, view.hide(change(shown))) for kind, change in _changes()[:count]]


def next_view(view: View) -> Image:
    """A view that `small_changes` does not give: a little of all that it changes."""
    shown = view.pixels_bgr if view.shown_bgr is None else view.shown_bgr
    changed = _moved(shown, SHIFT / 4, SHIFT / 3, DEGREES / 4)
    return view.hide(_exposed(changed, GAIN**0.25))


def _changes() -> list[tuple[str, Callable[[Image], Image]]]:
    """All changes, kinds in turns, both directions of each."""
    return [
        ("shift", lambda image: _moved(image, SHIFT, SHIFT / 2, 0)),
        ("rotation", lambda image: _moved(image, 0, 0, DEGREES)),
        ("exposure", lambda image: _exposed(image, GAIN)),
        ("shift", lambda image: _moved(image, -SHIFT, -SHIFT / 2, 0)),
        ("rotation", lambda image: _moved(image, 0, 0, -DEGREES)),
        ("exposure", lambda image: _exposed(image, 1 / GAIN)),
        ("shift", lambda image: _moved(image, SHIFT / 2, -SHIFT, 0)),
        ("rotation", lambda image: _moved(image, 0, 0, DEGREES / 2)),
        ("exposure", lambda image: _exposed(image, GAIN**0.5)),
    ]


MOST = len(_changes())


def _moved(image: Image, right: float, down: float, degrees: float) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (right * side, down * side)
    moved = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.uint8)


def _exposed(image: Image, gain: float) -> Image:
    return np.asarray(np.clip(np.rint(image * np.float32(gain)), 0, 255), np.uint8)
