"""Multi-type segmentation: how well type volumes name the pixels (MultiADS section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.metrics import rank

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


def segmentation(
    volumes: Sequence[Volume], masks: Sequence[Ids], names: Sequence[str]
) -> Segmentation:
    """Measure one product over all its pictures' pixels together.

    Args:
        volumes: one (C, h, w) per picture over the product's own list, channel 0 normal; sizes may
            differ from picture to picture.
        masks: (h, w) ids in 0..C-1.
        names: the C class names, normal first.
    """
    scores = np.concatenate([volume.reshape(len(names), -1) for volume in volumes], axis=1)
    truth = np.concatenate([mask.ravel() for mask in masks])
    called = scores.argmax(0)
    per_type = {}
    for index, name in enumerate(names):
        is_type = truth == index
        if is_type.any() and not is_type.all():
            ranking = rank(is_type, scores[index])
            right = np.count_nonzero(is_type & (called == index))
            f1 = 2 * right / (np.count_nonzero(is_type) + np.count_nonzero(called == index))
            per_type[name] = TypePixels(ranking.auroc, ranking.ap, f1)
    return _mean(per_type, len(names) - len(per_type))


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
