"""What an update did to pictures that it has not learned from, and to verdicts people looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge.bundle.conformal import rank_of_parts, smallest_alpha
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.evaluation.metrics import recalls_at
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.reject_scores import score_of
from edge.training.feature_cache import extract
from edge.training.run_folder import Calibration

# Recall on the frozen test may fall by so much: a picture or two may change places.
TOLERANCE = 0.01
# Rate of the threshold that verdicts are compared at, which is near edge-build's.
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """One side of the comparison; None where the frozen test lacks good parts or defects.

    Attributes:
        recall_at_1_percent, recall_at_5_percent: on the frozen test.
        right: verdicts on reviewed pictures that are as people said.
    """

    recall_at_1_percent: float | None
    recall_at_5_percent: float | None
    right: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Before and after an update.

    Attributes:
        good, defective: pictures of the frozen test.
        reviews: reviewed pictures that are judged.
        worse, better: names of reviews whose verdict was right and is not, and the other way round.
    """

    before: Figures
    after: Figures
    good: int
    defective: int
    reviews: int
    worse: tuple[str, ...]
    better: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        """Recall has fallen, or a verdict that people found right has changed."""
        pairs = zip(_recalls(self.before), _recalls(self.after), strict=True)
        return bool(self.worse) or any(
            old is not None and new is not None and new < old - TOLERANCE for old, new in pairs
        )

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return asdict(self)


@torch.no_grad()
def scores_by(
    detectors: Sequence[Detector],
    samples: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
) -> NDArray[np.float64]:
    """Scores (samples, detectors) by detectors with the same features.

    Raises:
        DataError: a picture is unreadable.
    """
    rows = []
    for sample in samples:
        groups = extract(detectors[0], network_inputs(read_view(sample).pixels_bgr, shape))
        rows.append([score_of(detector, groups) for detector in detectors])
        advance(1)
    return np.array(rows, np.float64).reshape(len(samples), len(detectors))


def prove(
    frozen: tuple[Sequence[Sample], NDArray[np.float64]],
    reviewed: tuple[Sequence[Sample], NDArray[np.float64]],
    calibrations: tuple[Calibration, Calibration],
) -> Proof:
    """Compare two detectors; scores are (n, 2), before and after.

    Args:
        frozen: pictures of the frozen test, with scores.
        reviewed: reviewed pictures, whose `path` stands for their name, with scores.
        calibrations: whose thresholds give the verdicts.
    """
    samples, scores = frozen
    labels = np.array([not sample.is_good for sample in samples], np.bool_)
    pictures, judged = reviewed
    truth = np.array([not sample.is_good for sample in pictures], np.bool_)
    lines = [line_of(calibration) for calibration in calibrations]
    right = np.stack([(judged[:, side] > lines[side]) == truth for side in (0, 1)], 1)
    before, after = (
        _figures(labels, scores[:, side], int(right[:, side].sum())) for side in (0, 1)
    )
    names = [sample.group for sample in pictures]
    return Proof(
        before,
        after,
        good=int((~labels).sum()),
        defective=int(labels.sum()),
        reviews=len(pictures),
        worse=tuple(name for name, (old, new) in zip(names, right, strict=True) if old and not new),
        better=tuple(
            name for name, (old, new) in zip(names, right, strict=True) if new and not old
        ),
    )


def line_of(calibration: Calibration) -> float:
    """The threshold that finds at most ALPHA of good parts, or the fewest that they support."""
    order = np.argsort(calibration.scores)
    parts = [calibration.groups[index] for index in order]
    alpha = max(ALPHA, smallest_alpha(len(set(parts))))
    return float(calibration.scores[order[rank_of_parts(parts, alpha) - 1]])


def _figures(labels: NDArray[np.bool_], scores: NDArray[np.float64], right: int) -> Figures:
    found = [None if np.isnan(value) else round(value, 4) for value in _recall(labels, scores)]
    return Figures(found[0], found[1], right)


def _recall(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> list[float]:
    if not len(labels):
        return [float("nan")] * 2
    return list(recalls_at(labels, scores.astype(np.float32)).values())


def _recalls(figures: Figures) -> tuple[float | None, float | None]:
    return figures.recall_at_1_percent, figures.recall_at_5_percent
