"""Names of types, taught by reviews that say one; the frozen test may name no fewer right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.picture_labels import UNNAMED
from edge.errors import TrainingError
from edge.frame import GOOD
from edge.inspection.type_naming import grid_weights
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import LINE_QUANTILE
from edge.methods.run_record import RunRecord, TypesRecord
from edge.methods.types.choosing import GOOD_PARTS, Chosen
from edge.methods.types.map_learning import Ground, Learned
from edge.methods.types.regions import defect_level
from edge.methods.types.teaching import teach_names
from edge.training.feature_cache import extract
from edge.training.progress import Progress

# A type is learned from so many parts at least: one teaches, and others show whether it was right.
LEAST_PARTS = 3
# The share of names that are right on the frozen test may fall by so much.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class NameLesson:
    """What reviews have taught of names.

    Attributes:
        detector: with the names, or the one given where they were not kept.
        types: how they were learned; that of the run where they were not kept; None for none.
        tried: how they would be learned, kept or not; None where nothing was tried.
        names: that were tried.
        left_out: types that were not learned, and why.
        pictures: defects of the frozen test that are of these types.
        right_before, right_after: those of them that are named right; None without names.
        is_kept: the detector has learned.
    """

    detector: Detector
    types: TypesRecord | None
    tried: TypesRecord | None = None
    names: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    pictures: int = 0
    right_before: int | None = None
    right_after: int | None = None
    is_kept: bool = False

    def as_json(self) -> dict[str, Any]:
        """One object of update.json."""
        tried = self.tried
        return {
            "types": list(self.names),
            "labels": [each.model_dump() for each in tried.labels] if tried else [],
            "accuracy": tried.accuracy if tried else None,
            "left_out": dict(self.left_out),
            "pictures": self.pictures,
            "right_before": self.right_before,
            "right_after": self.right_after,
            "is_kept": self.is_kept,
        }


@torch.no_grad()
def learn_names(
    ground: Ground,
    learned: Learned,
    reviewed: Sequence[Sample],
    test: Sequence[Sample],
    seed: int,
    progress: Progress,
) -> NameLesson | None:
    """Teach the names that reviews say, and anew those that the run has; None where none says one.

    Args:
        ground: the run, with products.
        learned: its map after reviews.
        reviewed: pictures that taught the map; those of named defects teach names.
        test: pictures in test/ of the run's products.
        seed: of the good parts that show what a false alarm looks like.
        progress: of the stages "regions" and "types".

    Raises:
        DataError: a picture cannot be used.
    """
    said = [sample for sample in reviewed if sample.label not in (GOOD, UNNAMED)]
    if not said:
        return None
    record, products = ground.record, ground.products
    assert products is not None  # noqa: S101 - the caller has looked
    as_before = NameLesson(learned.detector, record.types)
    earlier, lost = earlier_labels(record, test)
    if lost:
        return _without(as_before, {sample.label: lost for sample in said})
    left_out = _too_few(said, {sample.label for sample in earlier})
    taught = (*earlier, *(sample for sample in said if sample.label not in left_out))
    if not taught:
        return _without(as_before, left_out)
    name = record.data.name
    rng = np.random.default_rng((seed, GOOD_PARTS))
    chosen = sorted(rng.permutation(len(products.train))[:GOOD_PARTS])
    good = [products.train[int(index)] for index in chosen]
    samples = tuple((name, sample) for sample in (*taught, *good))
    new = dict.fromkeys(sample.label for sample in taught)
    names = (*record.model.types, *(each for each in new if each not in record.model.types))
    try:
        named, types = teach_names(
            ground, learned, Chosen(samples, taught, {}), (name,),
            names if record.model.types else (), progress,
        )  # fmt: skip
    except TrainingError:  # without drawings, and the map does not show them
        return _without(as_before, dict.fromkeys(new, "no place stands out on the map; draw it"))
    labels = [f"{each.label}/{each.path.name}" for each in earlier]
    reviews = [f"{each.label}/{each.group}" for each in taught[len(earlier) :]]
    types = types.model_copy(update={"own_defects": (*labels, *reviews)})
    known = {sample.path for sample in earlier}
    judged = [each for each in test if each.label in types.vocabulary and each.path not in known]
    before, after = (
        _right(detector, judged, ground.shape, learned) for detector in (learned.detector, named)
    )
    is_kept = before is None or (after or 0) >= before - TOLERANCE * len(judged)
    return NameLesson(
        named if is_kept else learned.detector,
        types if is_kept else record.types,
        types,
        named.settings.types,
        left_out,
        len(judged),
        before,
        after,
        is_kept,
    )


def earlier_labels(record: RunRecord, test: Sequence[Sample]) -> tuple[tuple[Sample, ...], str]:
    """Pictures that taught the run its names before, and why they cannot teach again, else ""."""
    if record.types is None:
        return (), ""
    wanted = set(record.types.own_defects)
    found = tuple(each for each in test if f"{each.label}/{each.path.name}" in wanted)
    others = set(record.types.products) - {record.data.name, *record.data.products}
    if len(found) < len(wanted) or others:
        return (), "the run's names were learned from pictures that --data does not hold"
    return found, ""


def _without(as_before: NameLesson, left_out: Mapping[str, str]) -> NameLesson:
    return NameLesson(as_before.detector, as_before.types, left_out=left_out)


def _too_few(said: Sequence[Sample], known: set[str]) -> dict[str, str]:
    """Types that too few parts show."""
    parts = {
        label: len({sample.group for sample in said if sample.label == label})
        for label in dict.fromkeys(sample.label for sample in said)
    }
    return {
        label: f"{count} {'part' if count == 1 else 'parts'}, {LEAST_PARTS} are needed"
        for label, count in parts.items()
        if count < LEAST_PARTS and label not in known
    }


def _right(
    detector: Detector, samples: Sequence[Sample], shape: InputShape, learned: Learned
) -> int | None:
    """How many defects are named right at their highest place; None by a detector without names."""
    if detector.types is None:
        return None
    threshold = float(np.quantile(learned.calibration.scores, LINE_QUANTILE))
    right = 0
    for sample in samples:
        groups = extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))
        maps = detector.judge(detector.branch_maps(groups)).map
        highest = int(maps.flatten(1).amax(1).argmax())
        level = defect_level(maps[highest].numpy(), None, threshold)
        weights = torch.from_numpy(grid_weights(level, detector.features.grid_hw))
        logits = detector.types(torch.cat(groups, -1))[highest]
        best = int((logits * weights).sum((1, 2))[1:].argmax())
        right += detector.settings.types[best] == sample.label
    return right
