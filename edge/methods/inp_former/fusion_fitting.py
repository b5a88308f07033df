"""Fusion weights, found by a trial on good pictures that nothing learned from, with defects.

The defects are synthetic.

No branch may harm a product: a branch that does not tell synthetic defects from good pictures gets
little weight, or is left out of the graph altogether.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import Image, add_defect
from edge.evaluation.paired_auroc import Placements, is_worse, placements
from edge.frame import GOOD
from edge.geometry.view_transform import View
from edge.methods.inp_former.branches import (
    MEMORY,
    POSITION,
    PROBE,
    RECONSTRUCTION,
    BranchList,
    fusion_weights,
)
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.networks.anomaly_map import good_scale
from edge.networks.features import Groups
from edge.training.feature_cache import extract
from edge.training.run_folder import KindScores

# Held-out pictures for the trial, and synthetic defects on each.
TRIAL_PICTURES = 60
DEFECTS_EACH = 4
SHARES = (0.0, 0.5, 1.0)
# Mixtures whose AUROC is within this, or within chance, of the best are as good as the best: their
# mean is taken. The probe is left out where it costs more, on kinds of defects that it was not
# fitted to. Synthetic defects show what harms a product, hardly what helps most (docs/adr/0019).
TOLERANCE = 0.05
# A branch with less weight than this is not worth its time.
LEAST_SHARE = 0.05
# The probe's fusion weight. It is not found by trial: synthetic defects cannot tell what it is
# worth on real ones (docs/adr/0015, 0018).
PROBE_SHARE = 0.3
# The settings that leave a branch out.
FIELDS = {MEMORY: "memory", POSITION: "position_dims", PROBE: "probe"}


class Judge(Protocol):
    """Judges a picture by a detector that has learned nothing from it."""

    def __call__(self, place: int, groups: Groups, kind: str) -> tuple[Tensor, Tensor | None]:
        """Branch maps (tiles, K, h, w) and image distances (tiles,) of the picture at `place`.

        `kind` is that of the synthetic defect on it, GOOD for none: a probe must not have been
        fitted to it.
        """
        ...


class Trial(NamedTuple):
    """Good pictures and synthetic defects on them, by detectors that learned from neither.

    Attributes:
        maps: (n, K, h, w) branch maps, n counting tiles.
        distances: (n,) of the image branch; None without one.
        kinds: of the pictures.
        tiles: of a picture.
    """

    maps: Tensor
    distances: Tensor | None
    kinds: Sequence[str]
    tiles: int

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Which pictures show no defect."""
        return np.array([kind == GOOD for kind in self.kinds])

    def scores(self, detector: Detector, *, with_image: bool = False) -> NDArray[np.float32]:
        """What a detector with the branches of the maps makes of the pictures, (n / tiles,)."""
        judged = detector.judge(self.maps, self.distances if with_image else None)
        return np.asarray(judged.score.reshape(-1, self.tiles).amax(1).numpy(), np.float32)

    def kind_scores(self, before: Detector, detector: Detector) -> KindScores:
        """Kind and score of every changed picture.

        Args:
            before: the detector whose branch maps these are.
            detector: the finished one, which may lack some of the branches.
        """
        maps = self.maps[:, kept_maps(before, detector)]
        scores = self._replace(maps=maps).scores(detector, with_image=True)
        return tuple(
            (kind, round(float(score), 6))
            for kind, score in zip(self.kinds, scores, strict=True)
            if kind != GOOD
        )


def trial_pictures(held_out: Sequence[Sample]) -> Sequence[Sample]:
    """Held-out pictures that the trial uses, spread over all of them."""
    return held_out[:: max(1, len(held_out) // TRIAL_PICTURES)][:TRIAL_PICTURES]


def fit_fusion(
    detector: Detector,
    probes: Mapping[str, DefectProbe],
    held_out: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Detector:
    """Find the weight of every branch on held-out pictures; return one without the useless ones.

    Args:
        detector: its branches are fitted, except for the probe.
        probes: as from synthetic_probes; empty if the detector has none.
        held_out: good pictures that no branch was fitted to.
        shape: network inputs of a picture.
        seed: of the synthetic defects.
        advance: called with 1 after each of `trial_pictures`.
    """
    if not added_branches(detector.branches):
        return detector
    detector, judge = held_out_judge(detector, probes)
    return weighed(detector, try_out(detector, judge, held_out, shape, seed, advance))


def held_out_judge(detector: Detector, probes: Mapping[str, DefectProbe]) -> tuple[Detector, Judge]:
    """The detector with its probe of all kinds, and the judge of pictures held out of training."""
    by_kind = {kind: with_probe(detector, probe) for kind, probe in probes.items()}
    detector = by_kind.get(GOOD, detector)

    def judge(place: int, groups: Groups, kind: str) -> tuple[Tensor, Tensor | None]:  # noqa: ARG001
        own = by_kind.get(kind, detector)
        return own.branch_maps(groups), own.image_distance(groups)

    return detector, judge


@torch.no_grad()
def try_out(
    detector: Detector,
    judge: Judge,
    samples: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Trial:
    """Judge some of the pictures as they are and with synthetic defects."""
    rng = np.random.default_rng(seed)

    def pictures(view: View) -> list[tuple[Image, str]]:
        changed = [add_defect(view.pixels_bgr, rng, seen=view.seen) for _ in range(DEFECTS_EACH)]
        return [(view.pixels_bgr, GOOD), *((each, kind) for each, _, kind in changed)]

    return judge_pictures(
        detector, judge, samples, trial_pictures(samples), pictures, shape, advance
    )


@torch.no_grad()
def judge_pictures(
    detector: Detector,
    judge: Judge,
    samples: Sequence[Sample],
    chosen: Sequence[Sample],
    pictures: Callable[[View], Sequence[tuple[Image, str]]],
    shape: InputShape,
    advance: Callable[[int], None],
) -> Trial:
    """Judge what `pictures` makes of the chosen ones of the samples: pixels and their kinds."""
    places = {id(sample): place for place, sample in enumerate(samples)}
    maps, distances, kinds = [], [], []
    for sample in chosen:
        for pixels, kind in pictures(read_view(sample)):
            groups = extract(detector, network_inputs(pixels, shape))
            found, distance = judge(places[id(sample)], groups, kind)
            maps.append(found)
            distances += [] if distance is None else [distance]
            kinds.append(kind)
        advance(1)
    return Trial(torch.cat(maps), torch.cat(distances) if distances else None, kinds, shape.tiles)


@torch.no_grad()
def weighed(detector: Detector, trial: Trial) -> Detector:
    """Return the detector with the fusion weights that a trial finds, without useless branches.

    INP-Former always takes part; memory bank and position statistics join with a share each, the
    probe with PROBE_SHARE. The image branch is not tried: local defects do not concern it.
    """
    names = added_branches(detector.branches)
    if not names:
        return detector
    is_good = trial.is_good
    good = torch.from_numpy(is_good).repeat_interleave(trial.tiles)
    offset, scale = good_scale(trial.maps[good])
    detector = detector.replaced(branches=detector.branches.changed(offset=offset, scale=scale))

    def separation(shares: Sequence[float]) -> Placements:
        scores = trial.scores(with_shares(detector, shares))
        return placements(scores[is_good], scores[~is_good])

    last = (0.0,) if PROBE in names else ()
    weighed_names = len(names) - len(last)
    trials = {
        shares: separation(shares + last)
        for shares in itertools.product(SHARES, repeat=weighed_names)
    }
    chosen = mixture(trials)
    if last:
        share = PROBE_SHARE / (1 - PROBE_SHARE) * (1 + sum(chosen))
        before, after = separation([*chosen, 0.0]), separation([*chosen, share])
        chosen.append(0.0 if is_worse(before, after, TOLERANCE) else share)
    return without_useless(detector, dict(zip(names, chosen, strict=True)))


def kept_maps(before: Detector, after: Detector) -> list[int]:
    """Which of the maps of `before` belong to branches that `after` still has."""
    kept: list[int] = []
    first = 0
    for branch in before.branches:
        if branch.name in after.branches:
            kept += range(first, first + branch.maps)
        first += branch.maps
    return kept


def mixture(trials: Mapping[tuple[float, ...], Placements]) -> list[float]:
    """Mean of the shares that separate the trial's pictures as well as the best, but for chance.

    Ten held-out pictures hardly tell mixtures apart: the branches then have about equal weights.
    """
    best = max(trials.values(), key=lambda trial: trial.auroc)
    near = [shares for shares, trial in trials.items() if not is_worse(best, trial, TOLERANCE)]
    return [float(share) for share in np.mean(near, axis=0)]


def added_branches(branches: BranchList) -> tuple[str, ...]:
    """Names of the branches beside INP-Former and its head, in the order of their maps."""
    return tuple(name for name in branches.names if name not in RECONSTRUCTION)


def with_probe(detector: Detector, probe: DefectProbe) -> Detector:
    """Return the detector with another probe."""
    return detector.replaced(branches=detector.branches.changed({PROBE: probe}))


def with_shares(detector: Detector, shares: Sequence[float]) -> Detector:
    """Return the detector with other shares of its added branches, see fusion_weights."""
    own = detector.branches.weight[: detector.branches.reconstruction_maps]
    weight = fusion_weights(own, shares)
    return detector.replaced(branches=detector.branches.changed(weight=weight))


def without_useless(detector: Detector, shares: Mapping[str, float]) -> Detector:
    """Return the detector with these shares, without added branches below LEAST_SHARE."""
    settings = detector.settings
    left_out = {FIELDS[name]: 0 for name, share in shares.items() if share < LEAST_SHARE}
    branches = settings.branches.model_copy(update=left_out)
    smaller = detector.adapted(settings.model_copy(update={"branches": branches}))
    return with_shares(smaller, [shares[name] for name in added_branches(smaller.branches)])
