"""Fusion weights, found by a trial on held-out good pictures with synthetic defects.

No branch may harm a product: a branch that does not tell synthetic defects from good pictures gets
little weight, or is left out of the graph altogether.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect
from edge.evaluation.paired_auroc import Placements, is_worse, placements
from edge.frame import GOOD
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
from edge.training.feature_cache import extract

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


def trial_pictures(held_out: Sequence[Sample]) -> Sequence[Sample]:
    """Held-out pictures that the trial uses, spread over all of them."""
    return held_out[:: max(1, len(held_out) // TRIAL_PICTURES)][:TRIAL_PICTURES]


@torch.no_grad()
def fit_fusion(
    detector: Detector,
    probes: Mapping[str, DefectProbe],
    held_out: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Detector:
    """Find the weight of every branch; return a detector without the useless ones.

    INP-Former always takes part; memory bank and position statistics join with a share each, the
    probe with PROBE_SHARE. The image branch is not tried: local defects do not concern it.

    Args:
        detector: its branches are fitted, except for the probe.
        probes: as from synthetic_probes; empty if the detector has none.
        held_out: good pictures that no branch was fitted to.
        shape: network inputs of a picture.
        seed: of the synthetic defects.
        advance: called with 1 after each of `trial_pictures`.
    """
    names = added_branches(detector.branches)
    if not names:
        return detector
    if PROBE in names:
        detector = with_probe(detector, probes[GOOD])
    maps, kinds = _trial_maps(detector, probes, trial_pictures(held_out), shape, seed, advance)
    defective, tiles = np.array([kind != GOOD for kind in kinds]), shape.tiles
    good = torch.from_numpy(~defective).repeat_interleave(tiles)
    offset, scale = good_scale(maps[good])
    detector = detector.replaced(branches=detector.branches.changed(offset=offset, scale=scale))

    def separation(shares: Sequence[float]) -> Placements:
        tried = with_shares(detector, shares)
        scores = tried.judge(maps).score.reshape(-1, tiles).amax(1).numpy()
        return placements(scores[~defective], scores[defective])

    last = (0.0,) if PROBE in names else ()
    weighed = len(names) - len(last)
    trials = {
        shares: separation(shares + last) for shares in itertools.product(SHARES, repeat=weighed)
    }
    chosen = mixture(trials)
    if last:
        share = PROBE_SHARE / (1 - PROBE_SHARE) * (1 + sum(chosen))
        before, after = separation([*chosen, 0.0]), separation([*chosen, share])
        chosen.append(0.0 if is_worse(before, after, TOLERANCE) else share)
    return without_useless(detector, dict(zip(names, chosen, strict=True)))


def _trial_maps(
    detector: Detector,
    probes: Mapping[str, DefectProbe],
    samples: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Tensor, list[str]]:
    """Maps (n, K, h, w) of good pictures and of synthetic defects on them, and their kinds.

    A defect is seen by the probe that was not fitted to its kind.
    """
    by_kind = {kind: with_probe(detector, probe) for kind, probe in probes.items()}
    maps, kinds = [], []
    rng = np.random.default_rng(seed)
    for sample in samples:
        view = read_view(sample)
        pixels = view.pixels_bgr
        changed = [add_defect(pixels, rng, seen=view.seen) for _ in range(DEFECTS_EACH)]
        for picture, kind in [(pixels, GOOD), *((each, kind) for each, _, kind in changed)]:
            groups = extract(detector, network_inputs(picture, shape))
            maps.append(by_kind.get(kind, detector).branch_maps(groups))
            kinds.append(kind)
        advance(1)
    return torch.cat(maps), kinds


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
