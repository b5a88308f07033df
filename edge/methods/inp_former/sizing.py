"""Choose the network size of a product, from good parts alone.

Rule: good parts that nothing learned from, as they are and with synthetic defects, are judged at
every candidate size by a detector without training: memory bank and statistics of positions. All
sizes judge the same defects, equally many of every kind. A size's figure is the mean, over kinds
and sizes of defects, of the AUROC against the good parts. `best_size` weighs figures and cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import DEFECTS, add_defect
from edge.evaluation.paired_auroc import placements
from edge.geometry.view_transform import View
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.run_record import SizeTrial
from edge.networks.features import Groups
from edge.training.feature_cache import FeatureCache, extract

# A size must beat a smaller one by this much: cost grows with area.
TOLERANCE = 0.01
LEARNED_PICTURES = 80
JUDGED_PICTURES = 40
# Synthetic defects in all, rounded up to equally many of every kind on every picture.
JUDGED_DEFECTS = 200
# Defects are drawn at most at this multiple of the largest candidate: on large frames drawing
# would cost more than judging.
DRAWN_AT = 1.5


def without_training(model: ModelSettings) -> ModelSettings:
    """The part of a model that a trial can judge by."""
    branches = model.branches.model_copy(update={"image_dims": 0, "probe": 0})
    net = model.inp_former.model_copy(update={"judge_by": "nothing"})
    changed = model.model_copy(update={"branches": branches, "inp_former": net})
    return ModelSettings.model_validate(changed.model_dump())


def trial_units(train: Sequence[Sample], held_out: Sequence[Sample]) -> int:
    """How far choose_size's `advance` counts: pictures."""
    return min(LEARNED_PICTURES, len(train)) + min(JUDGED_PICTURES, len(held_out))


@torch.no_grad()
def choose_size(
    candidates: Sequence[tuple[int, int]],
    detector_at: Callable[[tuple[int, int]], Detector],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    seed: int,
    advance: Callable[[int], None],
) -> tuple[SizeTrial, ...]:
    """Try every candidate.

    Args:
        candidates: network sizes.
        detector_at: builds a detector of settings `without_training`.
        train: good pictures to learn from.
        held_out: good pictures to judge.
        seed: of pictures and defects.
        advance: called with 1 after each of `trial_units`.

    Returns:
        All trials in the order of `candidates`; pass them to `best_size`.
    """
    rng = np.random.default_rng(seed)
    tried = [_Candidate(size, detector_at(size)) for size in candidates]
    limit = round(DRAWN_AT * max(max(size) for size in candidates))
    for sample in _some(train, LEARNED_PICTURES, rng):
        pixels = _shrunk(read_view(sample), limit).pixels_bgr
        for candidate in tried:
            candidate.learn(pixels)
        advance(1)
    for candidate in tried:
        candidate.fit(seed)
    kinds: list[str | None] = []
    areas: list[float] = []
    judged = _some(held_out, JUDGED_PICTURES, rng)
    for sample in judged:
        view = _shrunk(read_view(sample), limit)
        for pixels, kind, area in _versions(view, len(judged), rng):
            kinds.append(kind)
            areas.append(area)
            for candidate in tried:
                candidate.judge(pixels)
        advance(1)
    is_good = np.array([kind is None for kind in kinds])
    cells = defect_cells(kinds, areas)
    trials = []
    for candidate in tried:
        scores = candidate.scores(is_good)
        value = mean_auroc(scores[is_good], [scores[cell] for cell in cells])
        trials.append(SizeTrial(size_wh=candidate.shape.size_wh, auroc=round(value, 4)))
    return tuple(trials)


class _Candidate:
    """One size on trial."""

    def __init__(self, size_wh: tuple[int, int], detector: Detector):
        self.shape = InputShape(size_wh)
        self._detector = detector
        self._learned: list[Groups] = []
        self._maps: list[Tensor] = []

    def learn(self, pixels: Image) -> None:
        """Take a good picture, (H, W, 3) uint8 BGR."""
        found = extract(self._detector, network_inputs(pixels, self.shape))
        self._learned.append(tuple(group.half() for group in found))

    def fit(self, seed: int) -> None:
        """Fit memory and positions to what was learned."""
        arrays = [torch.cat(group).numpy() for group in zip(*self._learned, strict=True)]
        self._detector = fit_branches(self._detector, FeatureCache(arrays), seed)
        self._learned = []

    def judge(self, pixels: Image) -> None:
        """Judge a picture, (H, W, 3) uint8 BGR."""
        groups = extract(self._detector, network_inputs(pixels, self.shape))
        self._maps.append(self._detector.branch_maps(groups))

    def scores(self, is_good: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Scores of all pictures judged (n,), at scales from those that are good."""
        maps = torch.cat(self._maps)
        detector = scaled(self._detector, maps[torch.from_numpy(is_good)])
        return np.asarray(detector.judge(maps).score.numpy(), np.float32)


def best_size(trials: Sequence[SizeTrial]) -> tuple[int, int]:
    """Return the smallest size within TOLERANCE of the best."""
    best = max(trial.auroc for trial in trials)
    good = [trial for trial in trials if trial.auroc >= best - TOLERANCE]
    return min(good, key=lambda trial: trial.size_wh[0] * trial.size_wh[1]).size_wh


def defect_cells(kinds: Sequence[str | None], areas: Sequence[float]) -> list[NDArray[np.int64]]:
    """Indices of the smaller and of the larger defects of every kind; None is a good picture."""
    cells = []
    for kind in sorted({kind for kind in kinds if kind is not None}):
        own = np.array([index for index, name in enumerate(kinds) if name == kind])
        order = own[np.argsort(np.array(areas)[own], kind="stable")]
        cells += [cell for cell in np.array_split(order, 2) if len(cell)]
    return cells


def mean_auroc(good: NDArray[np.float32], defective: Sequence[NDArray[np.float32]]) -> float:
    """Mean over cells of the AUROC of their scores (m_c,) against those of good pictures (n,)."""
    return float(np.mean([placements(good, scores).auroc for scores in defective]))


def _some(samples: Sequence[Sample], count: int, rng: np.random.Generator) -> list[Sample]:
    chosen = rng.permutation(len(samples))[:count]
    return [samples[index] for index in sorted(chosen)]


def _shrunk(view: View, limit: int) -> View:
    height, width = view.pixels_bgr.shape[:2]
    factor = limit / max(height, width)
    if factor >= 1:
        return view
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    pixels = cv2.resize(view.pixels_bgr, size_wh, interpolation=cv2.INTER_AREA)
    seen = view.seen
    if seen is not None:
        seen = cv2.resize(seen.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
    return replace(view, pixels_bgr=pixels, seen=seen)


def _versions(
    view: View, pictures: int, rng: np.random.Generator
) -> Iterator[tuple[Image, str | None, float]]:
    """A good picture and its synthetic defects: pixels, kind, share of the picture."""
    yield view.pixels_bgr, None, 0.0
    for _ in range(-(-JUDGED_DEFECTS // (pictures * len(DEFECTS)))):
        for kind in DEFECTS:
            changed, mask, _ = add_defect(view.pixels_bgr, rng, kind, view.seen)
            yield changed, kind, float(mask.mean())
