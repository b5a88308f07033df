"""Teaches a template for alignment, and tries at once whether it can be found again."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.alignment import LARGEST_BOX, LEAST_BOX, Alignment, Found
from edge.geometry.frame_unfit import FrameUnfit, size_of
from edge.geometry.points import moved
from edge.picture_file import encode_picture

# The taught picture is moved and turned like this, with noise of so many grey levels.
TRIED_SHIFT_PX = (5.3, -3.7)
TRIED_ANGLE_DEG = 1.3
TRIED_NOISE = 4.0
# The template must then be found so well; the corners of the box tell both place and angle.
MAX_ERROR_PX = 0.5
# Another place of the taught picture may look like the template up to this score.
MAX_LIKENESS = 0.8


def teach_alignment(
    view: NDArray[np.uint8],
    box_xywh: tuple[int, int, int, int],
    *,
    max_shift_px: float | None = None,
    max_angle_deg: float = 10.0,
    min_score: float = 0.7,
) -> Alignment:
    """Make an alignment from a box of a view, (H, W) or (H, W, 3) uint8.

    Raises:
        ValueError: in one line: the box does not lie in the view, is too small or too large, shows
            too little to tell place and angle, or looks like another place of the view.
    """
    x, y, w, h = box_xywh
    width, height = size_of(view)
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise ValueError(
            f"expected a box x,y,w,h inside the picture of {width}x{height}, got {x},{y},{w},{h}"
        )
    if not LEAST_BOX <= min(w, h) <= max(w, h) <= LARGEST_BOX:
        raise ValueError(
            f"expected a box of {LEAST_BOX} to {LARGEST_BOX} pixels a side, got {w}x{h}"
        )
    grey = view if view.ndim == 2 else np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), np.uint8)
    template = base64.b64encode(encode_picture(grey[y : y + h, x : x + w])).decode()
    alignment = Alignment(
        size_wh=(width, height),
        box_xywh=box_xywh,
        template=template,
        max_shift_px=max_shift_px,
        max_angle_deg=max_angle_deg,
        min_score=min_score,
    )
    _check_it_is_found(alignment, grey)
    _check_it_is_single(alignment, grey)
    return alignment


def _check_it_is_found(alignment: Alignment, grey: NDArray[np.uint8]) -> None:
    x, y, w, h = alignment.box_xywh
    # Towards the middle of the view, and not further than the search goes.
    limit = min(1.0, (alignment.max_shift_px or 100.0) / 10)
    inward = np.where(np.array([x + w / 2, y + h / 2]) < np.array(alignment.size_wh) / 2, 1, -1)
    shift = inward * np.abs(TRIED_SHIFT_PX) * limit
    angle = min(TRIED_ANGLE_DEG, alignment.max_angle_deg / 2)
    matrix = cv2.getRotationMatrix2D((x + (w - 1) / 2, y + (h - 1) / 2), -angle, 1.0)
    matrix[:, 2] += shift
    changed = cv2.warpAffine(grey, matrix, alignment.size_wh, borderMode=cv2.BORDER_REPLICATE)
    noise = np.random.default_rng(0).normal(0, TRIED_NOISE, grey.shape)
    try:
        found = alignment.find(np.clip(np.rint(changed + noise), 0, 255).astype(np.uint8))
    except FrameUnfit:
        found = None
    error = np.inf if found is None else _error_px(found, matrix, alignment.box_xywh)
    if not error <= MAX_ERROR_PX:
        what = "not found again" if found is None else f"found {error:.1f} px off"
        raise ValueError(
            f"the box shows too little to tell its place and angle: moved a little, it is {what}; "
            "choose one with clear edges in all directions, off the border of the picture"
        )


def _check_it_is_single(alignment: Alignment, grey: NDArray[np.uint8]) -> None:
    others = alignment.candidates(grey)[1:]
    if others and others[0].score > MAX_LIKENESS:
        (dx, dy), angle = others[0].shift_xy, others[0].angle_deg
        x, y, _, _ = alignment.box_xywh
        raise ValueError(
            f"the box looks like the place at {x + dx:.0f},{y + dy:.0f} turned by {angle:.0f} "
            f"degrees (score {others[0].score:.2f}): parts would be aligned to either; choose a "
            "box that is there once, or limit --max-shift-px and --max-angle-deg"
        )


def _error_px(
    found: Found, matrix: NDArray[np.float64], box_xywh: tuple[int, int, int, int]
) -> float:
    x, y, w, h = box_xywh
    corners = [(x, y), (x + w - 1, y), (x + w - 1, y + h - 1), (x, y + h - 1)]
    away = found.to_frame(corners) - moved(matrix, corners)
    return float(np.linalg.norm(away, axis=1).max())
