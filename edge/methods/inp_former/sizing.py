"""Choose the network size of a product, from good parts alone.

Rule: on held-out good parts, with and without synthetic defects, score every candidate size with a
training-free detector (distance to the nearest of a few thousand normal patches). The smallest size
whose image AUROC is within `TOLERANCE` of the best is taken, since cost grows with area.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect
from edge.evaluation.metrics import auroc
from edge.methods.inp_former.detector import Detector
from edge.methods.run_record import SizeTrial
from edge.networks.features import Groups
from edge.training.feature_cache import extract

TOLERANCE = 0.01
BANK_PICTURES = 80
BANK_VECTORS = 4000
JUDGED_PICTURES = 40
DEFECTS_PER_PICTURE = 3
TOP_RATIO = 0.01


def choose_size(
    candidates: Sequence[tuple[int, int]],
    detector_at: Callable[[tuple[int, int]], Detector],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    seed: int,
    advance: Callable[[int], None],
) -> tuple[SizeTrial, ...]:
    """Try every candidate; `advance(1)` is called after each. The first one listed is chosen last.

    Returns:
        All trials in the order of `candidates`; pass them to `best_size`.
    """
    trials = []
    for size_wh in candidates:
        value = synthetic_auroc(detector_at(size_wh), size_wh, train, held_out, seed)
        trials.append(SizeTrial(size_wh=size_wh, auroc=round(value, 4)))
        advance(1)
    return tuple(trials)


def best_size(trials: Sequence[SizeTrial]) -> tuple[int, int]:
    """Return the smallest size within TOLERANCE of the best."""
    best = max(trial.auroc for trial in trials)
    good = [trial for trial in trials if trial.auroc >= best - TOLERANCE]
    return min(good, key=lambda trial: trial.size_wh[0] * trial.size_wh[1]).size_wh


def synthetic_auroc(
    detector: Detector,
    size_wh: tuple[int, int],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    seed: int,
) -> float:
    """Image AUROC of held-out good pictures against themselves with a synthetic defect."""
    rng = np.random.default_rng(seed)
    shape = InputShape(size_wh)
    bank = _bank(detector, shape, _some(train, BANK_PICTURES, rng), rng)
    labels: list[bool] = []
    scores: list[float] = []
    for sample in _some(held_out, JUDGED_PICTURES, rng):
        view = read_view(sample)
        versions = [view.pixels_bgr]
        versions += [
            add_defect(view.pixels_bgr, rng, seen=view.seen)[0] for _ in range(DEFECTS_PER_PICTURE)
        ]
        scores += [_score(detector, network_inputs(version, shape), bank) for version in versions]
        labels += [False] + [True] * DEFECTS_PER_PICTURE
    return auroc(np.array(labels), np.array(scores))


def _some(samples: Sequence[Sample], count: int, rng: np.random.Generator) -> list[Sample]:
    chosen = rng.permutation(len(samples))[:count]
    return [samples[index] for index in sorted(chosen)]


def _unit_tokens(groups: Groups) -> Tensor:
    """(B, N, sum C_g) tokens of unit length, every group with the same weight."""
    return F.normalize(torch.cat([F.normalize(group, dim=-1) for group in groups], -1), dim=-1)


def _bank(
    detector: Detector, shape: InputShape, samples: Sequence[Sample], rng: np.random.Generator
) -> Tensor:
    each = max(1, BANK_VECTORS // max(1, len(samples)))
    vectors = []
    for sample in samples:
        inputs = network_inputs(read_view(sample).pixels_bgr, shape)
        tokens = _unit_tokens(extract(detector, inputs))
        flat = tokens.flatten(0, 1)
        vectors.append(flat[torch.from_numpy(rng.permutation(len(flat))[:each])])
    return torch.cat(vectors)


def _score(detector: Detector, inputs: NDArray[np.uint8], bank: Tensor) -> float:
    tokens = _unit_tokens(extract(detector, inputs)).flatten(0, 1)
    distance = 1 - (tokens @ bank.T).amax(dim=1)
    count = max(1, int(TOP_RATIO * len(distance)))
    return float(distance.topk(count).values.mean())
