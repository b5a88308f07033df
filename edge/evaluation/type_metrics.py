"""How often parts get the right defect type, from the regions that the line reports.

A part is *detected* when it does not pass. Its *predicted type* is the type of the named region
with the highest evidence, `type_score * area_px`: one confident patch of the defect counts for more
than specks around it. A detected part without a named region is `unknown`, one that passes is
`missed`; neither is ever right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.metrics import rank
from edge.frame import GOOD
from edge.inspection.type_naming import predicted_type
from edge.result import UNKNOWN_TYPE, Inspection, Region, Verdict

MISSED = "missed"


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """What defective parts were called.

    Attributes:
        labels: true types, sorted; one row each.
        predicted: the bundle's types, then `unknown` and `missed`; one column each.
        counts: (labels, predicted) int64, parts.
    """

    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def detected(self) -> int:
        """Parts that did not pass."""
        return int(self.counts[:, : self.predicted.index(MISSED)].sum())

    def count(self, label: str, predicted: str) -> int:
        """Parts of one label that were called `predicted`; 0 for a type the bundle lacks."""
        if predicted not in self.predicted:
            return 0
        return int(self.counts[self.labels.index(label), self.predicted.index(predicted)])


@dataclass(frozen=True, slots=True)
class TypeRanking:
    """One type against all other parts, good ones included.

    `auroc` and `ap` rank the parts by their score for this type; `f1` and `accuracy` (over its
    detected parts) are at the line's decisions, without a search for the best threshold.
    """

    auroc: float
    ap: float
    f1: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class TypeMetrics:
    """Naming of a whole test set; NaN where no part was detected.

    `accuracy` and `unknown_rate` are over detected defective parts.
    """

    accuracy: float
    unknown_rate: float
    confusion: Confusion
    per_type: dict[str, TypeRanking]


def called(inspection: Inspection) -> str:
    """Name a part as the confusion matrix does: a type, `unknown` or `missed`."""
    if inspection.verdict is Verdict.PASS:
        return MISSED
    return predicted_type(inspection.regions)


def type_scores(regions: Sequence[Region], types: Sequence[str]) -> NDArray[np.float64]:
    """Score a part for each type, (K,) in 0..1: its most confident region's score, 0 if none."""
    scores = np.zeros(len(types))
    for region in regions:
        if region.type in types:
            index = types.index(region.type)
            scores[index] = max(scores[index], region.type_score or 0.0)
    return scores


def type_metrics(
    labels: Sequence[str],
    predicted: Sequence[str],
    scores: NDArray[np.float64],
    types: Sequence[str],
) -> TypeMetrics:
    """Measure the naming of n parts.

    Args:
        labels: n true types, `good` for good parts.
        predicted: n results of `called`.
        scores: (n, K) per part and type, see `type_scores`.
        types: the K types that the bundle can name.
    """
    confusion = confuse(labels, predicted, types)
    detected = confusion.detected
    right = sum(confusion.count(label, label) for label in confusion.labels if label in types)
    unknown = sum(confusion.count(label, UNKNOWN_TYPE) for label in confusion.labels)
    return TypeMetrics(
        accuracy=_share(right, detected),
        unknown_rate=_share(unknown, detected),
        confusion=confusion,
        per_type={
            kind: _one_against_rest(kind, labels, predicted, scores, types)
            for kind in confusion.labels
        },
    )


def confuse(labels: Sequence[str], predicted: Sequence[str], types: Sequence[str]) -> Confusion:
    """Count what the parts of each label were called; good parts are left out.

    The columns of types that are labels stand in the order of the rows, the others follow.
    """
    rows = tuple(sorted({label for label in labels if label != GOOD}))
    known = tuple(label for label in rows if label in types)
    others = tuple(kind for kind in types if kind not in rows)
    columns = (*known, *others, UNKNOWN_TYPE, MISSED)
    counts = np.zeros((len(rows), len(columns)), np.int64)
    for label, name in zip(labels, predicted, strict=True):
        if label != GOOD:
            counts[rows.index(label), columns.index(name)] += 1
    return Confusion(rows, columns, counts)


def _one_against_rest(
    kind: str,
    labels: Sequence[str],
    predicted: Sequence[str],
    scores: NDArray[np.float64],
    types: Sequence[str],
) -> TypeRanking:
    is_kind = np.array([label == kind for label in labels])
    # A name that the bundle lacks is never given: its score is 0 for every part.
    score = scores[:, types.index(kind)] if kind in types else np.zeros(len(labels))
    is_called = np.array([name == kind and kind in types for name in predicted])
    is_detected = np.array([name != MISSED for name in predicted])
    ranking = rank(is_kind, score)
    right = int(np.sum(is_kind & is_called))
    return TypeRanking(
        auroc=ranking.auroc,
        ap=ranking.ap,
        f1=_share(2 * right, int(is_kind.sum() + is_called.sum())),
        accuracy=_share(right, int(np.sum(is_kind & is_detected))),
    )


def _share(count: int, of: int) -> float:
    return count / of if of else float("nan")
