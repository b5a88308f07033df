"""Whether the scores of days, cameras or times could be draws from one distribution.

The false-reject rate of a conformal threshold holds for parts that are exchangeable with those that
set it. A permutation test of the two-sample Kolmogorov-Smirnov distance finds groups that are not:
parts are dealt out anew to the groups, and the largest distance of a group from all others is
compared with what chance gives. Taking the largest one keeps the level whatever the number of
groups (max statistic, Westfall and Young 1993).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Of each factor's test; the record of a calibration names it.
LEVEL = 0.01
DRAWS = 999
# Fewer parts than this in a group, or outside it, could not differ at LEVEL.
LEAST_PARTS = 5


@dataclass(frozen=True, slots=True)
class GroupTest:
    """Outcome of one factor.

    Attributes:
        factor: such as day or camera.
        counts: parts of each group.
        group: the one farthest from all others; its `distance`, 0 to 1, and `median`.
        others_median: of the parts of all other groups.
        p_value: of the largest distance, at best 1 / (DRAWS + 1).
    """

    factor: str
    counts: dict[str, int]
    group: str
    distance: float
    median: float
    others_median: float
    p_value: float

    @property
    def differs(self) -> bool:
        """The groups are not exchangeable, at LEVEL."""
        return self.p_value <= LEVEL


def compare_groups(
    factor: str,
    scores: Sequence[float],
    parts: Sequence[Hashable],
    groups: Sequence[str],
    seed: int = 0,
) -> GroupTest | None:
    """Test the groups of one factor.

    Pictures of one part are not independent: each part counts once in a group, by its median.

    Args:
        factor: name of what the groups are.
        scores: of good parts; `parts` and `groups` say whose and which each is.
        parts: part of each score.
        groups: group of each score.
        seed: of the permutations.

    Returns:
        The outcome; None where fewer than two groups have enough parts.
    """
    cells: dict[tuple[Hashable, str], list[float]] = {}
    for score, part, group in zip(scores, parts, groups, strict=True):
        cells.setdefault((part, group), []).append(score)
    values = np.array([np.median(found) for found in cells.values()])
    owners = np.array([group for _, group in cells])
    counts = {str(name): int((owners == name).sum()) for name in dict.fromkeys(owners)}
    tested = [n for n, count in counts.items() if LEAST_PARTS <= count <= len(owners) - LEAST_PARTS]
    if len(counts) < 2 or not tested:
        return None
    member = np.array([owners == name for name in tested])
    order = np.argsort(values, kind="stable")
    # Ties are compared at the last of equal scores only.
    ends = np.append(np.diff(values[order]) > 0, True)
    found = _distances(member[:, order], ends)
    rng = np.random.default_rng(seed)
    reached = sum(
        _standing(_distances(member[:, rng.permutation(len(values))], ends), member).max()
        >= _standing(found, member).max() - 1e-12
        for _ in range(DRAWS)
    )
    place = int(_standing(found, member).argmax())
    own = member[place]
    return GroupTest(
        factor=factor,
        counts=counts,
        group=tested[place],
        distance=float(found[place]),
        median=float(np.median(values[own])),
        others_median=float(np.median(values[~own])),
        p_value=(1 + reached) / (1 + DRAWS),
    )


def _distances(member: NDArray[np.bool_], ends: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov distance of each group from all others, (g,).

    `member` is (g, n), parts ascending by score.
    """
    inside = np.cumsum(member, 1) / member.sum(1, keepdims=True)
    outside = np.cumsum(~member, 1) / (~member).sum(1, keepdims=True)
    return np.asarray(np.abs(inside - outside)[:, ends].max(1))


def _standing(distances: NDArray[np.float64], member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances of groups of different sizes on one scale, as Smirnov's limit has it."""
    inside, outside = member.sum(1), (~member).sum(1)
    return np.asarray(distances * np.sqrt(inside * outside / (inside + outside)))
