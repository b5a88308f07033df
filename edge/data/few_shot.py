"""Few-shot training sets: k good pictures and the fixed set of changed copies of each.

The 22 pictures are those of INP-Former's few-shot protocol (section 7 of its spec). They are made
once and written as files: to everything after them they are ordinary training pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.atomic_file import write_bytes
from edge.data.image_set import Sample, read_view
from edge.errors import DataError
from edge.picture_file import encode_picture

Image = NDArray[np.uint8]
FOLDER = "shots"
DEGREES = (-45.0, -33.75, -22.5, -11.25, 11.25, 22.5, 33.75, 45.0)
# Shares of the side: the published +-0.2 and +-0.1 count in half sides.
SHIFTS = (0.1, 0.05)
COPIES = 22


def choose_shots(samples: Sequence[Sample], shots: int, seed: int) -> tuple[Sample, ...]:
    """Draw k of the good pictures, without replacement, the same for the same seed.

    Raises:
        DataError: there are fewer than k.
    """
    if len(samples) < shots:
        raise DataError(f"--shots {shots}: only {len(samples)} good pictures are there to train on")
    drawn = np.random.default_rng(seed).choice(len(samples), shots, replace=False)
    return tuple(samples[index] for index in sorted(drawn.tolist()))


def augment(pixels: Image) -> list[Image]:
    """Return the 22 pictures of one (H, W, 3) uint8 picture, all of its size.

    The original; eight rotations up to 45 degrees; eight shifts by 10 % and 5 % of the sides along
    the diagonals; the horizontal flip; its luminance alone; rotations by 90, 180 and 270 degrees.
    What comes in from outside is mirrored at the border.
    """
    height, width = pixels.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    moves = [cv2.getRotationMatrix2D(centre, degrees, 1.0) for degrees in DEGREES]
    moves += [
        np.array([[1, 0, x * width], [0, 1, y * height]])
        for share in SHIFTS
        for x, y in ((share, share), (-share, share), (-share, -share), (share, -share))
    ]
    pictures = [pixels, *(_warp(pixels, move) for move in moves), pixels[:, ::-1].copy()]
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    pictures.append(np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2))
    for quarters in (1, 2, 3):
        rotated = np.ascontiguousarray(np.rot90(pixels, quarters))
        # A frame that is not square is squeezed into its own shape, as the network input is.
        pictures.append(np.asarray(cv2.resize(rotated, (width, height)), np.uint8))
    return pictures


def write_shots(folder: Path, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Write the 22 pictures of every sample, lossless, and return them as samples.

    Files that are already there are kept as they are, so that an interrupted run goes on.

    Raises:
        DataError: a picture is unreadable.
        WriteError: a picture cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, sample in enumerate(samples):
        paths = [folder / f"{number:02d}_{copy:02d}.png" for copy in range(COPIES)]
        if not all(path.is_file() for path in paths):
            view = read_view(sample)
            shown = view.pixels_bgr if view.shown_bgr is None else view.shown_bgr
            for path, picture in zip(paths, augment(shown), strict=True):
                write_bytes(path, encode_picture(view.hide(picture)))
        made += [Sample(path, sample.label, sample.group) for path in paths]
    return tuple(made)


def _warp(pixels: Image, matrix: NDArray[np.float64]) -> Image:
    size_wh = (pixels.shape[1], pixels.shape[0])
    warped = cv2.warpAffine(
        pixels, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)
