"""Multi-type segmentation: how well type volumes name the pixels (MultiADS section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.sorted_scores import SortedScores

Volume = NDArray[np.floating]
Ids = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class TypePixels:
    """One class against the rest; F1 of the arg-max map, without a search for a threshold."""

    auroc: float
    ap: float
    f1: float


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Macro means over classes, normal included; then over products.

    Attributes:
        per_type: by class name.
        skipped: classes without pixels, which have no value and are left out.
    """

    auroc: float
    ap: float
    f1: float
    per_type: Mapping[str, TypePixels]
    skipped: int


class TypeRanker:
    """Takes pictures of one product one by one, then ranks their pixels; close it at the end.

    Args:
        names: of the C classes, normal first.
    """

    def __init__(self, names: Sequence[str]):
        self._names = tuple(names)
        self._scores = [SortedScores() for _ in names]
        self._called = np.zeros(len(names), np.int64)
        self._right = np.zeros(len(names), np.int64)

    def add(self, volume: Volume, ids: Ids) -> None:
        """Add the pixels of one picture.

        Args:
            volume: (C, ...), compared in single precision.
            ids: of the classes, 0..C-1, in the shape of one channel.

        Raises:
            WriteError: the folder of temporary files is full or cannot be written.
        """
        flat, truth = volume.reshape(len(self._names), -1), ids.ravel()
        called = flat.argmax(0)
        self._called += np.bincount(called, minlength=len(self._names))
        self._right += np.bincount(truth[truth == called], minlength=len(self._names))
        for index, scores in enumerate(self._scores):
            scores.add(flat[index], truth == index)

    def segmentation(self) -> Segmentation:
        """The metric over all pixels together.

        Raises:
            WriteError: as for `add`.
        """
        per_type = {}
        for name, scores, called, right in zip(
            self._names, self._scores, self._called, self._right, strict=True
        ):
            if scores.positives and scores.negatives:
                ranking = scores.ranking()
                f1 = 2 * right / (scores.positives + called)
                per_type[name] = TypePixels(ranking.auroc, ranking.ap, float(f1))
        return _mean(per_type, len(self._names) - len(per_type))

    def close(self) -> None:
        """Give the space on the disk back."""
        for scores in self._scores:
            scores.close()


def segmentation(
    volumes: Sequence[Volume], masks: Sequence[Ids], names: Sequence[str]
) -> Segmentation:
    """Measure one product over all its pictures' pixels together, see TypeRanker.

    Args:
        volumes: one (C, h, w) per picture over the product's own list, channel 0 normal; sizes may
            differ from picture to picture.
        masks: (h, w) ids in 0..C-1.
        names: the C class names, normal first.
    """
    with closing(TypeRanker(names)) as ranker:
        for volume, ids in zip(volumes, masks, strict=True):
            ranker.add(volume, ids)
        return ranker.segmentation()


def over_products(products: Sequence[Segmentation]) -> Segmentation:
    """Unweighted mean over products; per type over the products that have it."""
    named: dict[str, list[TypePixels]] = {}
    for product in products:
        for name, value in product.per_type.items():
            named.setdefault(name, []).append(value)
    return Segmentation(
        auroc=_average([product.auroc for product in products]),
        ap=_average([product.ap for product in products]),
        f1=_average([product.f1 for product in products]),
        per_type={name: _average_pixels(values) for name, values in named.items()},
        skipped=sum(product.skipped for product in products),
    )


def _mean(per_type: dict[str, TypePixels], skipped: int) -> Segmentation:
    mean = _average_pixels(list(per_type.values()))
    return Segmentation(mean.auroc, mean.ap, mean.f1, per_type, skipped)


def _average_pixels(values: Sequence[TypePixels]) -> TypePixels:
    return TypePixels(
        _average([value.auroc for value in values]),
        _average([value.ap for value in values]),
        _average([value.f1 for value in values]),
    )


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
