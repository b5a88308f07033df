"""How much of what reviews teach a map takes: the share under which reviews left out fare best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.evaluation.paired_auroc import placements
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import with_label_probe

# Weights of the new map relative to that of the run.
SHARES = (0.25, 0.5, 1.0)
JUDGE_BATCH = 64
# Good parts above this rank are those that a threshold is near to.
NEAR = 0.8
# AUROC of synthetic defects on held-out good parts that reviews may cost.
MOST_LOST = 0.01


class Pictures(NamedTuple):
    """What detectors say of n pictures of t network inputs each.

    Attributes:
        maps: (n, t, K, h, w) branch maps.
        distances: (n, t) of the image branch; None without one.
    """

    maps: Tensor
    distances: Tensor | None

    def with_last(self, new: Tensor, count: int) -> Pictures:
        """These maps with another (n, t, 1, h, w) in the last of `count` places."""
        return self._replace(maps=torch.cat([self.maps[:, :, : count - 1], new], 2))

    def scores(self, detector: Detector) -> NDArray[np.float32]:
        """Scores by a detector with these branches, (n,), the highest of their inputs."""
        rows = []
        for first in range(0, len(self.maps), JUDGE_BATCH):
            some = slice(first, first + JUDGE_BATCH)
            distances = None if self.distances is None else self.distances[some].flatten()
            rows.append(detector.judge(self.maps[some].flatten(0, 1), distances).score)
        scores = torch.cat(rows).reshape(self.maps.shape[:2]).amax(1)
        return np.asarray(scores.numpy(), np.float32)

    def scaled(self, detector: Detector) -> Detector:
        """The detector with all scales from these pictures, which are of good parts."""
        distances = None if self.distances is None else self.distances.flatten()
        return scaled(detector, self.maps.flatten(0, 1), distances)


class Blend(NamedTuple):
    """A detector that takes a share of the new map.

    Attributes:
        good, reviews: scores of the good parts, and of reviews by what has not seen their part.
        worth: mean of `worth` over the reviews.
    """

    share: float
    detector: Detector
    good: NDArray[np.float32]
    reviews: NDArray[np.float32]
    worth: float


def with_new_map(detector: Detector) -> Detector:
    """The detector with a probe of one kind in a place of its own, unfitted and without weight.

    Labels that it has learned before give way to it.
    """
    candidate = with_label_probe(detector, 1)
    own = candidate.branches.prelabel_weight
    assert own is not None  # noqa: S101 - with_label_probe keeps the run's map
    drawing = candidate.settings.map.model_copy(update={"keep_prelabel_map": False})
    plain = candidate.adapted(candidate.settings.model_copy(update={"map": drawing}))
    return plain.replaced(branches=plain.branches.changed(weight=own))


def blended(candidate: Detector, share: float) -> Detector:
    """The detector of with_new_map with a weight of its new map; the others keep theirs."""
    own = candidate.branches.weight[:-1]
    weight = torch.cat([own / own.sum(), torch.tensor([share])]) / (1 + share)
    return candidate.replaced(branches=candidate.branches.changed(weight=weight))


def worth(
    good: NDArray[np.float32], scores: NDArray[np.float32], is_good: NDArray[np.bool_]
) -> float:
    """How right scores of reviews are among those of good parts, 0..1.

    A defect counts 1 above all good parts and 0 below NEAR of them, a false reject the other way
    round; between, it is their rank. So what is clear either way says nothing.
    """
    below = np.searchsorted(np.sort(good), scores, side="left") / len(good)
    height = np.clip((below - NEAR) / (1 - NEAR), 0, 1)
    return float(np.where(is_good, 1 - height, height).mean())


class Guard(NamedTuple):
    """What a run could do before: it tells synthetic defects from held-out good parts.

    Reviews are of few kinds of defects, and leaving one of them out says nothing of other kinds.

    Attributes:
        defects: synthetic defects.
        least: AUROC that must remain.
    """

    defects: Pictures
    least: float

    @classmethod
    def of(cls, defects: Pictures, before: Blend) -> Guard:
        """Allow a loss of MOST_LOST beside `before`, whose maps these are."""
        return cls(defects, _auroc(before.good, defects.scores(before.detector)) - MOST_LOST)

    def holds(self, detector: Detector, good: NDArray[np.float32], defects: Pictures) -> bool:
        """Whether scores by another detector, and its maps of the defects, are good enough."""
        return _auroc(good, defects.scores(detector)) >= self.least


def best_blend(
    before: Blend,
    candidate: Detector,
    good: Pictures,
    reviews: Pictures,
    is_good: NDArray[np.bool_],
    guard: Guard,
    shares: Sequence[float] = SHARES,
) -> tuple[Blend, Mapping[float, float]]:
    """The best of some shares and of what there is, if the guard holds; the smallest of equal ones.

    Args:
        before: the detector that takes nothing.
        candidate: of with_new_map, with the probe fitted.
        good: held-out good parts, with the new map.
        reviews: with maps by what was not fitted to their part.
        is_good: of the reviews.
        guard: with the new map, too.
        shares: to try.

    Returns:
        The blend, and the worth of every share for which the guard holds.
    """
    best, found = before, {0.0: round(before.worth, 4)}
    for share in shares:
        detector = good.scaled(blended(candidate, share))
        on_good, on_reviews = good.scores(detector), reviews.scores(detector)
        if not guard.holds(detector, on_good, guard.defects):
            continue
        value = worth(on_good, on_reviews, is_good)
        found[share] = round(value, 4)
        if value > best.worth:
            best = Blend(share, detector, on_good, on_reviews, value)
    return best, found


def _auroc(good: NDArray[np.float32], defects: NDArray[np.float32]) -> float:
    return float(placements(good, defects).auroc)
