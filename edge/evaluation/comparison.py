"""Two bundles on the same pictures: figures side by side, and the verdicts that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from edge.bundle.store import Bundle
from edge.data.image_set import ImageSet
from edge.data.left_out import say_once
from edge.errors import DataError
from edge.evaluation.evaluate import Evaluation, unseen
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.paired_auroc import placements, standard_error

# Figures that are compared: key of Evaluation.as_json, and what people call it.
FIGURES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO",
    "recall": "recall at the shipped threshold",
    "false_reject_rate": "false rejects at the shipped threshold",
    "recall_at_1_percent": "recall at 1 % false rejects",
    "recall_at_5_percent": "recall at 5 % false rejects",
    "region_recall": "defects located",
    "type_accuracy": "defects named right",
    "frame_ms_p50": "frame to verdict, median ms",
}


class Change(NamedTuple):
    """One picture that one bundle passes and the other does not."""

    first: EvaluatedPart
    second: EvaluatedPart


class Difference(NamedTuple):
    """Image AUROC of the first less the second, with 95 % limits (DeLong et al. 1988)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluations of two bundles on the same set; `changed` in the order of the pictures."""

    first: Evaluation
    second: Evaluation
    changed: tuple[Change, ...]

    @property
    def kinds(self) -> dict[str, tuple[Change, ...]]:
        """Changed verdicts by what they mean for `first`, judged against `second`."""

        def chosen(*, is_good: bool, is_rejected: bool) -> tuple[Change, ...]:
            return tuple(
                change
                for change in self.changed
                if change.first.sample.is_good == is_good
                and change.first.is_rejected == is_rejected
            )

        return {
            "newly missed": chosen(is_good=False, is_rejected=False),
            "newly found": chosen(is_good=False, is_rejected=True),
            "newly rejected": chosen(is_good=True, is_rejected=True),
            "no longer rejected": chosen(is_good=True, is_rejected=False),
        }

    def rows(self) -> list[tuple[str, float | None, float | None]]:
        """Figures of both, with their names; None for what does not exist."""
        first, second = self.first.as_json(), self.second.as_json()
        return [(name, first[key], second[key]) for key, name in FIGURES.items()]

    def difference(self) -> Difference | None:
        """How far image AUROC differs; None without good or without defective judged parts."""
        theirs = {item.sample.path: item for item in self.second.judged}
        pairs = [(a, theirs[a.sample.path]) for a in self.first.judged if a.sample.path in theirs]
        is_good = np.array([a.sample.is_good for a, _ in pairs], np.bool_)
        if not is_good.any() or is_good.all():
            return None
        scores = np.array([(a.score, b.score) for a, b in pairs])
        first, second = (placements(s[is_good], s[~is_good]) for s in scores.T)
        value, error = first.auroc - second.auroc, standard_error(first, second)
        return Difference(value, value - 1.96 * error, value + 1.96 * error)


def both_unseen(bundles: Sequence[Bundle], images: ImageSet) -> ImageSet:
    """Keep the test pictures that no bundle's types were trained on.

    Raises:
        DataError: none is left.
    """
    kept = images.test
    for bundle in bundles:
        own = set(unseen(bundle, images))
        kept = tuple(sample for sample in kept if sample in own)
    if not kept:
        raise DataError(
            f"--data {images.name}: one bundle or the other learned its types from every picture "
            "under test/; give others"
        )
    if left_out := len(images.test) - len(kept):
        say_once(
            f"--data {images.name}: {left_out} test pictures are left out for both, the types of "
            "one were trained on them"
        )
    return replace(images, test=kept)


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two evaluations of the same set; pictures that only one has are counted aloud."""
    theirs = {item.sample.path: item for item in second.parts}
    pairs = [(a, theirs[a.sample.path]) for a in first.parts if a.sample.path in theirs]
    if len(pairs) != len(first.parts) or len(pairs) != len(second.parts):
        say_once(
            f"the figures rest on {len(first.parts)} and {len(second.parts)} pictures, since the "
            "geometry of the bundles hides other defects"
        )
    changed = tuple(Change(a, b) for a, b in pairs if a.is_rejected != b.is_rejected)
    return Comparison(first, second, changed)
