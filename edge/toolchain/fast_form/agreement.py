"""How well a fast form decides beside its full form, on pictures that no lesson was made of.

They are held-out good parts, and synthetic defects on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect, any_kind
from edge.errors import ParityError
from edge.evaluation.metrics import recall_at
from edge.methods.method import Network

# Held-out pictures, and synthetic defects on each.
PICTURES = 60
DEFECTS_EACH = 4
# Of false rejects, where recalls are compared.
RATES = (0.01, 0.05)
# Below these a fast form is refused.
LEAST_RANK_CORRELATION = 0.8
MOST_RECALL_LOST = 0.1

# Its file in a bundle.
AGREEMENT = "calibration/fast_form.json"

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Image scores of one form: of good parts (n,), of synthetic defects (m,), and their kinds."""

    good: Scores
    defects: Scores
    kinds: tuple[str, ...] = ()

    def recalls(self) -> tuple[float, ...]:
        """Share of the defects found at each of RATES."""
        scores = np.concatenate([self.good, self.defects])
        labels = np.arange(len(scores)) >= len(self.good)
        return tuple(recall_at(labels, scores, rate) for rate in RATES)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both forms on the same pictures.

    Attributes:
        good, defects: counts of pictures.
        rank_correlation: Spearman's, of the scores of all pictures.
        verdict_flips: share of pictures with another verdict, each form by its own threshold.
        full_recall, fast_recall: share of the defects found, at each of RATES.
    """

    good: int
    defects: int
    rank_correlation: float
    verdict_flips: float
    full_recall: tuple[float, ...]
    fast_recall: tuple[float, ...]

    @property
    def recall_lost(self) -> float:
        """Largest fall of the recall at one of RATES; negative where all have risen."""
        pairs = zip(self.full_recall, self.fast_recall, strict=True)
        return max(full - fast for full, fast in pairs)

    @property
    def is_enough(self) -> bool:
        """Both limits hold."""
        return (
            self.rank_correlation >= LEAST_RANK_CORRELATION and self.recall_lost <= MOST_RECALL_LOST
        )

    def as_json(self) -> dict[str, object]:
        """One object for the bundle, with the limits."""
        limits = {"rank_correlation": LEAST_RANK_CORRELATION, "recall_lost": MOST_RECALL_LOST}
        return {**asdict(self), "false_reject_rates": RATES, "limits": limits}

    def __str__(self) -> str:
        recalls = ", ".join(
            f"recall at {rate:.0%} false rejects {full:.2f} -> {fast:.2f}"
            for rate, full, fast in zip(RATES, self.full_recall, self.fast_recall, strict=True)
        )
        return (
            f"rank correlation {self.rank_correlation:.3f}, {self.verdict_flips:.1%} verdicts "
            f"flipped, {recalls} ({self.good} held-out good pictures, {self.defects} synthetic "
            "defects on them)"
        )


@torch.no_grad()
def judge(
    forms: Sequence[Network],
    held_out: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> list[Judged]:
    """Score the same pictures with every form; `advance(1)` is called after each of `used`.

    Raises:
        DataError: a picture is unreadable.
    """
    rng = np.random.default_rng((seed, PICTURES))
    good: list[list[float]] = []
    defects: list[list[float]] = []
    kinds: list[str] = []
    for sample in used(held_out):
        view = read_view(sample)
        good.append([_score(form, view.pixels_bgr, shape) for form in forms])
        for _ in range(DEFECTS_EACH):
            changed, _, kind = add_defect(view.pixels_bgr, rng, any_kind(rng), view.seen)
            defects.append([_score(form, changed, shape) for form in forms])
            kinds.append(kind)
        advance(1)
    columns = zip(np.array(good).T, np.array(defects).T, strict=True)
    return [Judged(*column, tuple(kinds)) for column in columns]


def used(held_out: Sequence[Sample]) -> Sequence[Sample]:
    """The pictures that `judge` takes, spread over all."""
    return held_out[:: max(1, -(-len(held_out) // PICTURES))]


def compare(full: Judged, fast: Judged, thresholds: tuple[float, float]) -> Agreement:
    """Compare the forms; `thresholds` are the full form's and the fast form's own."""
    sides = [np.concatenate([form.good, form.defects]) for form in (full, fast)]
    verdicts = [side > limit for side, limit in zip(sides, thresholds, strict=True)]
    return Agreement(
        good=len(full.good),
        defects=len(full.defects),
        rank_correlation=rank_correlation(*sides),
        verdict_flips=float((verdicts[0] != verdicts[1]).mean()),
        full_recall=full.recalls(),
        fast_recall=fast.recalls(),
    )


def refuse(agreement: Agreement) -> None:
    """Stop the build of a fast form that decides too differently.

    Raises:
        ParityError: a limit is not kept.
    """
    if not agreement.is_enough:
        raise ParityError(
            f"--fast: expected a rank correlation of at least {LEAST_RANK_CORRELATION} and at most "
            f"{MOST_RECALL_LOST} of recall lost, got {agreement}; pack the full form, or take "
            "this one with --accept-lower"
        )


def rank_correlation(a: Scores, b: Scores) -> float:
    """Spearman's rank correlation of (n,) values; tied values share their mean rank."""
    x, y = (_ranks(values) - (len(values) - 1) / 2 for values in (a, b))
    norm = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / norm if norm else 0.0


def _ranks(values: Scores) -> Scores:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[place]


def _score(form: Network, pixels: NDArray[np.uint8], shape: InputShape) -> float:
    return float(form(torch.from_numpy(network_inputs(pixels, shape))).score.max())
