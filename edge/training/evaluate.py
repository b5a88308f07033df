"""Judge a labelled data set with a bundle, exactly as the line would, and measure the outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.store import Bundle
from edge.engines.protocol import Engine
from edge.errors import DataError
from edge.pipeline.decision import decide
from edge.pipeline.scorer import FrameScorer
from edge.result import Verdict
from edge.training.dataset import ImageSet, Sample, read_mask, read_pixels
from edge.training.metrics import auroc, pixel_metrics, rank

# Maps and masks meet at the picture's own aspect ratio, its longer side at most this.
EVALUATION_SIDE = 512


@dataclass(frozen=True, slots=True)
class Judged:
    """One test picture: what it is and what the bundle says of it."""

    sample: Sample
    score: float
    verdict: Verdict
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All metrics of one bundle on one data set; NaN where the set has no such thing.

    Image and pixel values are exact ranking metrics (edge.training.metrics). `false_reject_rate`
    and `recall` are at the shipped threshold, counting every part that does not pass as rejected.
    `per_type` maps each defect type to its count, image AUROC against all good parts, and recall.
    """

    image_auroc: float
    image_ap: float
    image_f1_max: float
    pixel_auroc: float
    pixel_ap: float
    pixel_f1_max: float
    aupro: float
    false_reject_rate: float
    recall: float
    per_type: dict[str, dict[str, float]]
    threshold: float
    good: int
    defective: int
    masks: int
    judged: tuple[Judged, ...]

    def as_json(self) -> dict[str, Any]:
        """One flat object; values that do not exist are null."""
        names = (
            "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max",
            "aupro", "false_reject_rate", "recall", "threshold", "good", "defective", "masks",
        )  # fmt: skip
        data: dict[str, Any] = {name: _number(getattr(self, name)) for name in names}
        data["per_type"] = {
            kind: {name: _number(value) for name, value in row.items()}
            for kind, row in self.per_type.items()
        }
        times = [item.milliseconds for item in self.judged]
        data["frame_ms_p50"] = _number(float(np.median(times)))
        return data


def evaluate(
    bundle: Bundle, engine: Engine, images: ImageSet, advance: Callable[[int], None]
) -> Evaluation:
    """Judge the test pictures of `images`; `advance(1)` is called after each.

    Raises:
        DataError: the set has no test pictures, or one is unreadable.
        InferenceError: the engine fails.
    """
    if not images.test:
        raise DataError(f"--data {images.name}: no pictures under test/")
    scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
    judged: list[Judged] = []
    maps: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.bool_]] = []
    for sample in images.test:
        pixels = read_pixels(sample.path)
        scored = scorer.score(pixels)
        verdict = decide(bundle, scored.score, scored.quality_problem).verdict
        elapsed = scored.preprocess_ms + scored.infer_ms
        judged.append(Judged(sample, scored.score, verdict, elapsed))
        if sample.is_good or sample.mask is not None:
            size_wh = evaluation_size(pixels.shape[1], pixels.shape[0])
            maps.append(cv2.resize(scored.map, size_wh, interpolation=cv2.INTER_LINEAR))
            masks.append(read_mask(sample, size_wh))
        advance(1)
    return _measure(bundle, judged, maps, masks)


def _measure(
    bundle: Bundle,
    judged: Sequence[Judged],
    maps: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
) -> Evaluation:
    labels = np.array([not item.sample.is_good for item in judged])
    scores = np.array([item.score for item in judged])
    rejected = np.array([item.verdict is not Verdict.PASS for item in judged])
    kinds = np.array([item.sample.label for item in judged])
    image = rank(labels, scores)
    nan = float("nan")
    pixel_auroc = pixel_ap = pixel_f1 = pixel_pro = nan
    if any(mask.any() for mask in masks):
        pixel, pixel_pro = pixel_metrics(maps, masks)
        pixel_auroc, pixel_ap, pixel_f1 = pixel.auroc, pixel.ap, pixel.f1_max
    per_type = {}
    for kind in sorted(set(kinds[labels])):
        chosen = (kinds == kind) | ~labels
        per_type[str(kind)] = {
            "n": float(np.sum(kinds == kind)),
            "image_auroc": auroc(labels[chosen], scores[chosen]),
            "recall": float(rejected[kinds == kind].mean()),
        }
    return Evaluation(
        image_auroc=image.auroc,
        image_ap=image.ap,
        image_f1_max=image.f1_max,
        pixel_auroc=pixel_auroc,
        pixel_ap=pixel_ap,
        pixel_f1_max=pixel_f1,
        aupro=pixel_pro,
        false_reject_rate=float(rejected[~labels].mean()) if (~labels).any() else nan,
        recall=float(rejected[labels].mean()) if labels.any() else nan,
        per_type=per_type,
        threshold=bundle.thresholds.score.value,
        good=int((~labels).sum()),
        defective=int(labels.sum()),
        masks=sum(bool(mask.any()) for mask in masks),
        judged=tuple(judged),
    )


def evaluation_size(width: int, height: int) -> tuple[int, int]:
    """Size at which map and mask of a picture meet."""
    shrink = min(1.0, EVALUATION_SIDE / max(width, height))
    return round(width * shrink), round(height * shrink)


def _number(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else round(value, 6)
