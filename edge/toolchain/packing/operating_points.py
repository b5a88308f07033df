"""Recall against false rejects, from the scores that a run kept of good parts and defects."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bundle.conformal import bound_of_parts, smallest_alpha
from edge.bundle.operating_points import (
    OPERATING_POINTS_SCHEMA,
    MoreParts,
    OperatingPoint,
    OperatingPoints,
)
from edge.bundle.thresholds import Threshold
from edge.errors import ThresholdError
from edge.toolchain.packing.odd_parts import recall
from edge.toolchain.packing.other_shifts import other_shifts
from edge.toolchain.packing.thresholds import DEFAULT_ALPHA, fit_threshold, without_parts
from edge.training.run_folder import Calibration

RATES = (0.005, 0.01, 0.02, 0.05, 0.1)
# A share of good parts may be rejected where this many times the share of defects more is found.
WORTH = 2.0
# Numbers of good parts to hope for; the next three above those that there are.
PARTS = (19, 49, 99, 199, 299, 499, 999, 1999, 4999)
NEXT_PARTS = 3


def operating_points(calibration: Calibration, threshold: Threshold) -> OperatingPoints:
    """Thresholds and recalls at RATES and at the rate of `threshold`, ascending."""
    kept = without_parts(calibration, threshold.left_out)
    synthetic = [score for _, score in calibration.synthetic]
    labelled = [score for _, score in calibration.labelled]
    points = []
    for alpha in sorted({*RATES, threshold.alpha}):
        try:
            fitted = fit_threshold(kept.scores, kept.groups, alpha, kept.method)
        except ThresholdError:
            points.append(OperatingPoint(alpha=alpha))
            continue
        points.append(
            OperatingPoint(
                alpha=alpha,
                threshold=fitted.value,
                bound95=fitted.bound95,
                recall_synthetic=recall(synthetic, fitted.value),
                recall_labelled=recall(labelled, fitted.value),
            )
        )
    return OperatingPoints(
        schema=OPERATING_POINTS_SCHEMA,
        points=tuple(points),
        synthetic=len(synthetic),
        labelled=len(labelled),
        suggested=suggested(points),
        more_parts=tuple(more_parts(threshold.groups)),
        other_shifts=tuple(other_shifts(calibration.shifted, threshold.value)),
    )


def suggested(points: Sequence[OperatingPoint]) -> float | None:
    """The rate whose recall is worth its false rejects most, see WORTH.

    Labelled defects tell it where there are some, synthetic ones elsewhere.
    """
    worth = {
        point.alpha: value - WORTH * point.alpha
        for point in points
        if (value := _recall(point)) is not None
    }
    return max(worth, key=lambda alpha: worth[alpha]) if worth else None


def more_parts(groups: int) -> list[MoreParts]:
    """What the parts support that there are, and what more of them would."""
    counts = [groups, *[count for count in PARTS if count > groups][:NEXT_PARTS]]
    rows = []
    for count in counts:
        alpha = max(DEFAULT_ALPHA, smallest_alpha(count))
        rows.append(MoreParts(parts=count, alpha=alpha, bound95=bound_of_parts(count, alpha)))
    return rows


def _recall(point: OperatingPoint) -> float | None:
    if point.recall_labelled is not None:
        return point.recall_labelled
    return point.recall_synthetic
