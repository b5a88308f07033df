"""Labelled pictures: which ones train, which ones validate, and their masks of type ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.data.image_set import Sample, read_mask
from edge.data.masks import shrink
from edge.errors import DataError
from edge.frame import GOOD

VALIDATION_SHARE = 0.2
Image = NDArray[np.uint8]
Ids = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TypedPicture:
    """One picture with its label as a row of the text bank; `product` numbers the data sets."""

    sample: Sample
    product: int
    row: int


def labelled(samples: Sequence[Sample], limit: int, rng: np.random.Generator) -> tuple[Sample, ...]:
    """Defects with a mask, at most `limit` of each type (0 = all), chosen at random."""
    chosen: list[Sample] = []
    for label in sorted({sample.label for sample in samples} - {GOOD}):
        usable = [sample for sample in samples if sample.label == label and sample.mask]
        order = rng.permutation(len(usable))[: limit or None]
        chosen += [usable[index] for index in sorted(order)]
    return tuple(chosen)


def marked_or_not(
    samples: Sequence[Sample], limit: int, rng: np.random.Generator
) -> tuple[Sample, ...]:
    """As `labelled`, and where a type has fewer pictures with masks, others without."""
    marked = labelled(samples, limit, rng)
    chosen: list[Sample] = []
    for label in sorted({sample.label for sample in samples} - {GOOD}):
        own = [sample for sample in marked if sample.label == label]
        bare = [sample for sample in samples if sample.label == label and not sample.mask]
        room = limit - len(own) if limit else len(bare)
        chosen += own
        if bare and room:
            chosen += [bare[index] for index in sorted(rng.permutation(len(bare))[:room])]
    return tuple(chosen)


def split(
    samples: Sequence[Sample], rng: np.random.Generator
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Share pictures out into (training, validation): whole parts, a fifth of every label.

    A label with fewer than three parts stays in training.
    """
    held: set[str] = set()
    for label in sorted({sample.label for sample in samples}):
        parts = list(dict.fromkeys(s.group for s in samples if s.label == label))
        wanted = max(1, round(VALIDATION_SHARE * len(parts))) if len(parts) >= 3 else 0
        free = [part for part in parts if part not in held]
        missing = max(0, wanted - (len(parts) - len(free)))
        held |= {free[index] for index in rng.permutation(len(free))[:missing]}
    return (
        tuple(sample for sample in samples if sample.group not in held),
        tuple(sample for sample in samples if sample.group in held),
    )


def read_ids(picture: TypedPicture, size_wh: tuple[int, int]) -> Ids:
    """Mask of bank rows at `size_wh`, (h, w) uint8, 0 normal; every defect keeps a pixel at least.

    Raises:
        DataError: the mask is missing or unreadable.
    """
    sample = picture.sample
    if sample.is_good:
        return np.zeros((size_wh[1], size_wh[0]), np.uint8)
    if sample.mask is None:
        raise DataError(
            f"{sample.path}: expected a mask below ground_truth, found none; draw it or take the "
            "picture out of the set"
        )
    return np.where(read_mask(sample, size_wh), picture.row, 0).astype(np.uint8)


def mosaic(pictures: Sequence[Image], ids: Sequence[Ids]) -> tuple[Image, Ids]:
    """Join four pictures as 2 x 2 tiles, each tile of the mask keeping its own picture's ids.

    Args:
        pictures: four (H, W, 3) uint8.
        ids: their four (h, w) masks.

    Returns:
        One picture and one mask of the same sizes.
    """
    return _joined(pictures, _smaller_picture), _joined(ids, _smaller_ids)


def _joined(
    tiles: Sequence[NDArray[np.uint8]],
    smaller: Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    height, width = tiles[0].shape[:2]
    whole = np.empty_like(tiles[0])
    rows = slice(height // 2), slice(height // 2, height)
    columns = slice(width // 2), slice(width // 2, width)
    for index, tile in enumerate(tiles):
        place = whole[rows[index // 2], columns[index % 2]]
        place[:] = smaller(tile, (place.shape[1], place.shape[0]))
    return whole


def _smaller_picture(pixels: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _smaller_ids(ids: Ids, size_wh: tuple[int, int]) -> Ids:
    """Ids do not mix, and none vanishes."""
    out = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    for row in np.unique(ids[ids > 0]):
        out[shrink(ids == row, size_wh)] = row
    return out
