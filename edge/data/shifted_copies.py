"""Copies of good pictures as another shift would take them, written as files before training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.atomic_file import write_bytes
from edge.data.augmentation import (
    DEGREES,
    EXPOSURE,
    PIXELS,
    WARMTH,
    changed_view,
    exposed,
    is_grey,
    moved,
)
from edge.data.image_set import Sample, read_view
from edge.picture_file import encode_picture

FOLDER = "shifted"


def write_shifted(folder: Path, samples: Sequence[Sample], seed: int) -> tuple[Sample, ...]:
    """Write one changed copy of every sample, lossless, and return them as samples of its part.

    Exposure, warmth of the lamp (of colour pictures), position and angle are drawn evenly within
    the limits of edge.data.augmentation. Files that are there are kept, so that an interrupted run
    goes on.

    Raises:
        DataError: a picture is unreadable.
        WriteError: a picture cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, sample in enumerate(samples):
        path = folder / f"{number:05d}_of_{sample.path.stem}.png"
        if not path.is_file():
            rng = np.random.default_rng((seed, number))
            copy = changed_view(read_view(sample), partial(shifted, rng=rng))
            write_bytes(path, encode_picture(copy))
        made.append(Sample(path, sample.label, sample.group))
    return tuple(made)


def shifted(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one change of (H, W, 3) uint8 BGR pixels; grey ones stay grey."""
    gain = 1 + rng.uniform(-EXPOSURE, EXPOSURE)
    warmth = rng.uniform(-WARMTH, WARMTH)
    right, down = rng.uniform(-PIXELS, PIXELS, 2)
    degrees = rng.uniform(-DEGREES, DEGREES)
    if is_grey(pixels):
        warmth = 0.0
    lit = exposed(pixels, gain * (1 - warmth), gain, gain * (1 + warmth))
    return moved(lit, right, down, degrees)
