"""Thresholds of single products, for a bundle whose graph serves several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.bundle.store import SCORES
from edge.bundle.thresholds import ProductThresholds, ThresholdMethod
from edge.data.frame_record import FrameRecord
from edge.errors import ThresholdError
from edge.toolchain.packing.bundle_folder import write_text
from edge.toolchain.packing.frame_limits import learn_frames
from edge.toolchain.packing.thresholds import fit_threshold, good_scores


@dataclass(frozen=True, slots=True)
class ProductScores:
    """Scores of good parts of one product, by models that had not learned from them.

    `scores`, `groups` (physical part) and `grey` (see Calibration) go together, one entry per
    frame. Without `frames` and `grey` the recipe's limits of frames hold.
    """

    scores: Sequence[float]
    groups: Sequence[str]
    grey: Sequence[tuple[float, float]] = ()
    frames: FrameRecord | None = None
    method: ThresholdMethod = "split-conformal"


def write_products(
    folder: Path, products: Mapping[str, ProductScores], alpha: float | None = None
) -> dict[str, ProductThresholds]:
    """Fit a threshold per product and write its scores into the bundle at `folder`.

    Args:
        folder: bundle being written; gets calibration/scores.<product>.json and, with frames,
            frames.<product>.json. They must be there before its manifest, which holds their hashes.
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
            score = fit_threshold(product.scores, product.groups, alpha, product.method)
        except ThresholdError as error:
            raise ThresholdError(f"product {name}: {error}") from error
        file = str(PurePosixPath(SCORES).with_name(f"scores.{name}.json"))
        scores = good_scores(product.scores, product.groups, product.method)
        write_text(folder / file, json.dumps(scores))
        learned = learn_frames(folder, product.frames, product.grey, name)
        fitted[name] = ProductThresholds(
            score=score,
            scores_file=file,
            frames=learned.frames,
            frame_quality=learned.frame_quality,
        )
    return fitted
