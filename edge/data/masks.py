"""Defect masks as labelling tools write them -> (H, W) bool, or a refusal that names the file.

Black, or transparent, is good; anything else is a defect: 0/1, 0/255, 16 bits, numbers or colours
of classes, palettes, alpha. Soft borders (blur, scaling, JPEG) are cut at half of the spot's own
brightest pixel; flat areas of a few levels are classes and stay whole.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import DataError
from edge.picture_file import check_whole, read_bytes
from edge.quiet_opencv import quiet_opencv

# A JPEG's black is not quite 0, its white not quite 255.
LOSSY_NOISE = 64
# Levels up to this number classes; so few levels at most are classes, too, where they are flat.
CLASS_NUMBERS, CLASS_LEVELS = 32, 16
# A mask's spots are few levels with soft borders; a photo's pixels are mostly in between.
PHOTO_SHARE = 0.5
# Sides of mask and picture may differ so much in proportion, by rounding.
ASPECT_TOLERANCE = 0.02
Mask = NDArray[np.bool_]


def read_mask_file(path: Path) -> Mask:
    """Read a mask at its own size, (H, W) bool: True where it shows a defect.

    Raises:
        DataError: the file is missing, damaged, or cannot be understood as a mask.
    """
    try:
        data = read_bytes(path)
        check_whole(data)
        return _marked(_levels(data), is_lossy=_is_lossy(data))
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take its picture out of the set") from error


def shrink(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    """Scale a mask (H, W) to `size_wh`, (h, w) bool: area average, cut at half.

    Nothing is fattened, and nothing vanishes: a spot that covers no cell by more than half keeps
    the cell that it covers most.
    """
    covered = cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
    kept = covered > 0.5
    touched = covered > 0
    if (kept == touched).all():
        return np.asarray(kept, np.bool_)
    count, spots = cv2.connectedComponents(touched.astype(np.uint8), connectivity=8)
    has_cells = np.bincount(spots[kept], minlength=count) > 0
    for spot in range(1, count):
        if not has_cells[spot]:
            cells = np.where(spots == spot, covered, 0)
            kept[np.unravel_index(int(cells.argmax()), cells.shape)] = True
    return np.asarray(kept, np.bool_)


def fits(mask_wh: tuple[int, int], picture_wh: tuple[int, int]) -> bool:
    """The mask may be a scaled one of the picture: their proportions agree."""
    (mask_w, mask_h), (width, height) = mask_wh, picture_wh
    ratio = mask_w * height / (mask_h * width)
    # A rounded side of few pixels is off by more.
    tolerance = ASPECT_TOLERANCE + 1 / min(mask_w, mask_h)
    return abs(ratio - 1) <= tolerance


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture or mask file, by its header.

    Raises:
        DataError: the file is missing or visibly damaged.
    """
    try:
        return check_whole(read_bytes(path))
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take it out of the set") from error


def _is_lossy(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8") or data[12:16] == b"VP8 "


def _levels(data: bytes) -> NDArray[np.uint16]:
    """Level per pixel, (H, W), 0 where good."""
    try:
        with quiet_opencv():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"OpenCV refuses it: {error.err or error.code}") from error
    if pixels is None:
        raise ValueError("not a picture that OpenCV can decode")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected a mask of 8 or 16 bits per channel, got {pixels.dtype}")
    planes = np.atleast_3d(pixels).astype(np.uint16)
    colour, alpha = planes, None
    if planes.shape[2] in (2, 4):
        colour, alpha = planes[:, :, :-1], planes[:, :, -1]
    levels = np.asarray(colour.max(axis=2), np.uint16)
    if alpha is None or alpha.min() == alpha.max():
        if levels.min() == levels.max() and (colour != colour[:1, :1]).any():
            raise ValueError("expected black around the defect, found colours without black")
        return levels
    if levels.min() == levels.max():
        return np.asarray(alpha, np.uint16)
    return np.where(alpha > 0, levels, 0).astype(np.uint16)


def _marked(levels: NDArray[np.uint16], *, is_lossy: bool) -> Mask:
    values = np.unique(levels)
    if is_lossy:
        levels = np.where(levels >= LOSSY_NOISE, levels, 0).astype(np.uint16)
        values = values[(values == 0) | (values >= LOSSY_NOISE)]
    if len(values) <= 2 or values[-1] <= CLASS_NUMBERS:
        marked = levels > 0
    else:
        top = int(values[-1])
        between = (levels > top // 8) & (levels < top - top // 8)
        if len(values) > 32 and between.mean() > PHOTO_SHARE:
            raise ValueError("expected a mask, black but for the defect, found a photo")
        marked = _cut_at_half(levels)
        if len(values) <= CLASS_LEVELS and not is_lossy:
            marked |= _flat(levels)
    _check_background(marked, values)
    return np.asarray(marked, np.bool_)


def _cut_at_half(levels: NDArray[np.uint16]) -> Mask:
    """Every spot from half of its own brightest pixel on."""
    count, spots = cv2.connectedComponents((levels > 0).astype(np.uint8), connectivity=8)
    peaks = np.zeros(count, np.uint16)
    inside = spots > 0
    np.maximum.at(peaks, spots[inside], levels[inside])
    return np.asarray(inside & (levels > peaks[spots] // 2), np.bool_)


def _flat(levels: NDArray[np.uint16]) -> Mask:
    """Marked pixels inside an area of one level, at least 3 x 3, and at its border."""
    square = np.ones((3, 3), np.uint8)
    is_inside = cv2.erode(levels, square) == cv2.dilate(levels, square)
    grown = cv2.dilate(np.where(is_inside, levels, 0).astype(np.uint16), square)
    return np.asarray((levels > 0) & (levels == grown))


def _check_background(marked: Mask, values: NDArray[np.uint16]) -> None:
    """Refuse masks whose background is not black: their defects would be the good pixels."""
    if marked.all() and len(values) > 1:
        raise ValueError(f"expected black around the defect, found levels from {values[0]} on")
    border = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    if border.all() and not marked.all() and marked.mean() > 0.5:
        raise ValueError("its background is white and its defect black; invert it")
