"""Inspect a labelled data set with a bundle, exactly as the line would, and measure the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.store import Bundle
from edge.data.image_set import ImageSet, Sample, check_masks, read_mask
from edge.data.left_out import in_short, say_once
from edge.engines.protocol import Engine
from edge.errors import DataError
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.json_numbers import rounded
from edge.evaluation.metrics import NAN, Ranking, auroc, rank, recalls_at
from edge.evaluation.multi_type_segmentation import Segmentation
from edge.evaluation.not_judged import say_not_judged
from edge.evaluation.pixel_metrics import PixelMetrics
from edge.evaluation.pixel_ranking import PixelRanking
from edge.evaluation.region_metrics import (
    Located,
    RegionMetrics,
    overlap,
    region_metrics,
)
from edge.evaluation.seen_pixels import SeenPixels
from edge.evaluation.set_inspector import SetInspector
from edge.evaluation.type_metrics import TypeMetrics, type_metrics, type_scores
from edge.evaluation.type_pixels import as_json
from edge.evaluation.veto_metrics import VetoMetrics, veto_metrics
from edge.result import Inspection


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All metrics of one bundle on one data set; NaN where the set has no such thing.

    Image and pixel values are exact ranking metrics (edge.evaluation.metrics). `false_reject_rate`
    and `recall` are at the shipped threshold, counting every part that does not pass as rejected.
    `recall_at` maps FALSE_REJECT_RATES to the recall at thresholds from this set's good parts.
    `per_type` maps each defect type to its count `n`, `image_auroc` against all good parts and
    `recall`. `types` and `veto` are None for a bundle that names no types, `segmentation` without
    masks of its types, too. `left_out` counts the
    set's test pictures that the bundle's types were trained on: they are in none of the figures.
    `ground` is the map value that good parts usually show: the median of their maps' medians.
    `has_groups`: the samples' groups are physical parts; otherwise they are file names.
    """

    image: Ranking
    pixel: PixelRanking
    false_reject_rate: float
    recall: float
    recall_at: dict[float, float]
    per_type: dict[str, dict[str, float]]
    regions: RegionMetrics
    types: TypeMetrics | None
    threshold: float
    good: int
    defective: int
    masks: int
    parts: tuple[EvaluatedPart, ...]
    left_out: int = 0
    veto: VetoMetrics | None = None
    segmentation: Segmentation | None = None
    ground: float = NAN
    has_groups: bool = False

    @property
    def image_auroc(self) -> float:
        """Area under the ROC curve of the pictures' scores."""
        return self.image.auroc

    @property
    def pixel_auroc(self) -> float:
        """Area under the ROC curve of all pixels."""
        return self.pixel.ranking.auroc

    @property
    def aupro(self) -> float:
        """Area under the per-region-overlap curve up to a false-positive rate of 0.3."""
        return self.pixel.aupro

    @property
    def judged(self) -> tuple[EvaluatedPart, ...]:
        """The parts with a score."""
        return tuple(item for item in self.parts if item.is_judged)

    @property
    def not_judged(self) -> int:
        """How many parts have none; they count as rejected, and in no ranking."""
        return len(self.parts) - len(self.judged)

    @property
    def milliseconds(self) -> NDArray[np.float64]:
        """Frame to verdict, per picture that was judged, (n,)."""
        return np.array([item.inspection.times.processing_ms for item in self.judged])

    def type_row(self, kind: str) -> dict[str, float]:
        """One type's `per_type` row, with `auroc`, `ap`, `f1` and `accuracy` of its name."""
        named = self.types.per_type[kind] if self.types else None
        ranking = asdict(named) if named else dict.fromkeys(("auroc", "ap", "f1", "accuracy"), NAN)
        return {**self.per_type[kind], **ranking}

    def as_json(self) -> dict[str, Any]:
        """One object; values that do not exist are null."""
        image, pixel, regions, types = self.image, self.pixel.ranking, self.regions, self.types
        p50, p95 = np.percentile(self.milliseconds, [50, 95])
        data: dict[str, Any] = {
            "image_auroc": image.auroc, "image_ap": image.ap, "image_f1_max": image.f1_max,
            "pixel_auroc": pixel.auroc, "pixel_ap": pixel.ap, "pixel_f1_max": pixel.f1_max,
            "aupro": self.aupro, "false_reject_rate": self.false_reject_rate,
            "recall": self.recall, "threshold": self.threshold,
            **{f"recall_at_{100 * r:.0f}_percent": v for r, v in self.recall_at.items()},
            "good": self.good, "defective": self.defective, "masks": self.masks,
            "left_out": self.left_out, "not_judged": self.not_judged,
            "type_accuracy": types.accuracy if types else None,
            "type_unknown_rate": types.unknown_rate if types else None,
            "region_recall": regions.recall,
            "region_type_accuracy": regions.type_accuracy if types else None,
            "false_alarms_per_part": {
                "good": regions.false_alarms_good, "defective": regions.false_alarms_defective,
            },
            "per_type": {kind: self.type_row(kind) for kind in self.per_type},
            "frame_ms_p50": float(p50), "frame_ms_p95": float(p95),
            "veto": asdict(self.veto) if self.veto else None,
            "confusion": None, "segmentation": as_json(self.segmentation),
        }  # fmt: skip
        if types:
            matrix = types.confusion
            data["confusion"] = {
                "labels": list(matrix.labels),
                "predicted": list(matrix.predicted),
                "counts": matrix.counts.tolist(),
            }
        return rounded(data)


def unseen(bundle: Bundle, images: ImageSet) -> tuple[Sample, ...]:
    """Test pictures of `images` without those that the bundle's types were trained on.

    Raises:
        DataError: nothing is left to test.
    """
    if not images.test:
        raise DataError(f"--data {images.name}: no pictures under test/")
    samples = tuple(s for s in images.test if not is_own(bundle, s))
    if not samples:
        raise DataError(
            f"--data {images.name}: the bundle learned its types from all {len(images.test)} "
            "pictures under test/; give others"
        )
    return samples


def is_own(bundle: Bundle, sample: Sample) -> bool:
    """Whether the bundle's types were trained on this test picture."""
    return f"test/{sample.label}/{sample.path.name}" in bundle.own_pictures


def evaluate(
    bundle: Bundle,
    engine: Engine,
    images: ImageSet,
    advance: Callable[[int], None],
    types_engine: Engine | None = None,
) -> Evaluation:
    """Inspect the `unseen` pictures of `images`; `advance(1)` is called after each.

    Raises:
        DataError: the set has no such pictures, or a picture or mask is unreadable.
        EngineError: an engine fails.
        WriteError: pixels wait on the disk, and the folder of temporary files is full.
    """
    images = check_masks(images)
    samples = unseen(bundle, images)
    inspect = SetInspector(bundle, engine, types_engine)
    seen = SeenPixels(bundle.recipe.geometry)
    parts: list[EvaluatedPart] = []
    hidden: list[str] = []
    with closing(PixelMetrics(bundle, seen)) as pixels:
        for sample in samples:
            advance(1)
            inspected = inspect(sample)
            match = None
            if sample.mask is not None:
                mask = _seen_mask(sample, inspected.inspection, seen)
                if not mask.any():
                    hidden.append(f"{sample.label}/{sample.path.name}")
                    continue
                match = overlap(inspected.inspection.upheld, mask)
            parts.append(EvaluatedPart(sample, inspected.inspection, match))
            pixels.add(sample, inspected, inspect.type_shares)
        if hidden:
            say_once(
                f"--data {images.name}: {len(hidden)} parts are left out, the geometry hides all "
                f"of their defects: {in_short(hidden)}"
            )
        if not parts:
            raise DataError(f"--data {images.name}: the geometry hides the defects of all parts")
        unjudged = [(p.name, p.inspection.detail) for p in parts if not p.is_judged]
        say_not_judged(images.name, unjudged, len(parts))
        return replace(
            measure(bundle, parts, pixels.ranking(), len(images.test) - len(samples)),
            segmentation=pixels.segmentation(),
            ground=pixels.ground(),
            has_groups=images.has_groups,
        )


def _seen_mask(sample: Sample, inspection: Inspection, seen: SeenPixels) -> NDArray[np.bool_]:
    """Defective pixels, (h, w) of the frame, without those that the geometry hides."""
    mask = read_mask(sample, inspection.size_wh)
    if inspection.score is not None:
        mask &= seen(sample, inspection.size_wh, inspection.size_wh)
    return mask


def measure(
    bundle: Bundle, parts: Sequence[EvaluatedPart], pixel: PixelRanking, left_out: int = 0
) -> Evaluation:
    """Compute all metrics of inspected parts; `pixel` is NO_PIXELS for a set without masks."""
    kinds = [item.sample.label for item in parts]
    labels = np.array([not item.sample.is_good for item in parts])
    scores = np.array([item.score for item in parts])
    rejected = np.array([item.is_rejected for item in parts])
    judged = np.isfinite(scores)
    per_type = {}
    for kind in sorted({item.sample.label for item in parts if not item.sample.is_good}):
        is_kind = np.array([label == kind for label in kinds])
        chosen = is_kind | ~labels
        per_type[kind] = {
            "n": float(is_kind.sum()),
            "image_auroc": auroc(labels[chosen & judged], scores[chosen & judged]),
            "recall": float(rejected[is_kind].mean()),
        }
    names = bundle.recipe.defect_types
    named, veto = None, None
    if names:
        veto = veto_metrics([(item.sample.is_good, item.inspection) for item in parts])
        confidence = np.array([type_scores(item.inspection.upheld, names) for item in parts])
        named = type_metrics(kinds, [item.called for item in parts], confidence, names)
    return Evaluation(
        image=rank(labels[judged], scores[judged]),
        pixel=pixel,
        false_reject_rate=float(rejected[~labels].mean()) if (~labels).any() else NAN,
        recall=float(rejected[labels].mean()) if labels.any() else NAN,
        recall_at=recalls_at(labels[judged], scores[judged]),
        per_type=per_type,
        regions=region_metrics([_located(item) for item in parts]),
        types=named,
        threshold=bundle.thresholds.score.value,
        good=int((~labels).sum()),
        defective=int(labels.sum()),
        masks=sum(item.overlap is not None and item.overlap.defects > 0 for item in parts),
        parts=tuple(parts),
        left_out=left_out,
        veto=veto,
    )


def _located(item: EvaluatedPart) -> Located:
    sample = item.sample
    return Located(sample.label, sample.is_good, item.inspection.upheld, item.overlap)
