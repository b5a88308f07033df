"""Thresholds of single products, for a bundle whose graph serves several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.bundle.manifest import ProductThresholds
from edge.bundle.store import SCORES
from edge.errors import ThresholdError
from edge.inspection.frame_quality import quality_range
from edge.toolchain.packing.bundle_folder import write_text
from edge.toolchain.packing.thresholds import fit_threshold


@dataclass(frozen=True, slots=True)
class ProductScores:
    """Scores of the trained model for the held-out good parts of one product.

    `scores`, `groups` (physical part) and `grey` (mean and deviation of the network input) go
    together, one entry per frame; `grey` may be empty, then the recipe's frame quality holds.
    """

    scores: Sequence[float]
    groups: Sequence[str]
    grey: Sequence[tuple[float, float]] = ()


def write_products(
    folder: Path, products: Mapping[str, ProductScores], alpha: float | None = None
) -> dict[str, ProductThresholds]:
    """Fit a threshold per product and write its scores into the bundle at `folder`.

    Args:
        folder: bundle being written; gets calibration/scores.<product>.json. They must be there
            before its manifest is made, which holds their hashes.
        products: scores by product; a name consists of letters, digits, _ and -.
        alpha: false-reject rate of each product; None see thresholds.fit_threshold.

    Returns:
        What `Thresholds.products` takes.

    Raises:
        ThresholdError: naming the product whose good parts cannot support `alpha`.
    """
    fitted = {}
    for name, product in products.items():
        try:
            score = fit_threshold(product.scores, product.groups, alpha)
        except ThresholdError as error:
            raise ThresholdError(f"product {name}: {error}") from error
        file = str(PurePosixPath(SCORES).with_name(f"scores.{name}.json"))
        write_text(folder / file, json.dumps({"scores": sorted(product.scores)}))
        quality = quality_range(list(product.grey)) if product.grey else None
        fitted[name] = ProductThresholds(score=score, scores_file=file, frame_quality=quality)
    return fitted
