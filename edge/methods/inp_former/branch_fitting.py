"""The branches beside INP-Former: filled from good parts, weighed on synthetic defects.

No branch may hurt a product: each one is tried on held-out good pictures with synthetic defects,
and what does not tell those apart gets little weight or is left out of the graph altogether.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_pixels
from edge.data.synthetic_defects import add_defect
from edge.evaluation.paired_auroc import Placements, is_worse, placements
from edge.frame import GOOD
from edge.methods.inp_former.coreset import coreset
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.memory_bank import PositionStatistics
from edge.methods.inp_former.settings import BranchSettings, MapSettings, ModelSettings
from edge.training.feature_cache import FeatureCache, extract

# Tokens among which the memory's vectors are picked, and pictures that give position statistics.
CANDIDATES = 30_000
PICTURES = 600
CHUNK = 16
# Added to every position's covariance, in units of the mean variance: few pictures stand behind it.
RIDGE = 0.12
# Held-out pictures for the trial, and synthetic defects on each.
TRIAL_PICTURES = 60
DEFECTS_EACH = 4
SHARES = (0.0, 0.5, 1.0)
# Mixtures whose AUROC is within this, or within chance, of the best are as good as the best: their
# mean is taken. The probe stays out where it costs more, on kinds of defects it was not taught.
# Synthetic defects show what harms a product, hardly what helps most (docs/adr/0019).
TOLERANCE = 0.05
# A branch with less say than this is not worth its time.
LEAST_SHARE = 0.05
# The probe's share of map and score. It is no matter of trial: synthetic defects cannot tell what
# it is worth on real ones (docs/adr/0015, 0018).
PROBE_SHARE = 0.3
# Below this, held-out parts do not show how far the pictures of a product differ as a whole.
IMAGE_LEAST_PARTS = 30


def with_branches(model: ModelSettings, held_out_parts: int | None) -> ModelSettings:
    """Leave out the image branch where too few independent held-out parts can calibrate it.

    None leaves out every branch. INP-Former then judges as published: what is taken off its maps is
    what the other branches see (docs/adr/0016).
    """
    if held_out_parts is None:
        alone: dict[str, object] = {
            "branches": BranchSettings(),
            "inp_former": model.inp_former.model_copy(update={"centring": 0}),
            "map": model.map.model_copy(
                update={
                    "beyond_rare": 1,
                    "score_beyond_rare": None,
                    "score_from": "map",
                    "contrast": 0,
                }
            ),
        }
        return model.model_copy(update=alone)
    if held_out_parts >= IMAGE_LEAST_PARTS:
        return model
    branches = model.branches.model_copy(update={"image_dims": 0})
    return model.model_copy(update={"branches": branches})


@torch.no_grad()
def fill_branches(detector: Detector, cache: FeatureCache, seed: int) -> None:
    """Take the constants of all branches from the training features."""
    order = np.random.default_rng(seed).permutation(len(cache))
    if detector.memory is not None:
        each = -(-CANDIDATES // len(cache))
        generator = torch.Generator().manual_seed(seed)
        some = []
        for tokens in _chunks(detector, cache, order, is_unit=True):
            chosen = torch.randperm(tokens.shape[1], generator=generator)[:each]
            some.append(detector.memory.seen(tokens)[:, chosen].flatten(0, 1))
        vectors = coreset(torch.cat(some), len(detector.memory.bank), seed)
        # Fewer tokens than places (tests): the last one fills up, which changes no distance.
        missing = len(detector.memory.bank) - len(vectors)
        detector.memory.bank.copy_(torch.cat([vectors, vectors[-1:].expand(missing, -1)]))
    if detector.position is not None:
        chunks = _chunks(detector, cache, order[:PICTURES], is_unit=True)
        _fill_positions(detector.position, torch.cat([chunk.half() for chunk in chunks]))
    if detector.image is not None:
        chunks = _chunks(detector, cache, order, is_unit=False)
        _fill_image(detector.image, torch.cat([detector.image.pooled(chunk) for chunk in chunks]))


def _chunks(
    detector: Detector, cache: FeatureCache, order: NDArray[np.int64], *, is_unit: bool
) -> Iterator[Tensor]:
    for start in range(0, len(order), CHUNK):
        tokens = torch.cat(cache.batch([int(i) for i in order[start : start + CHUNK]]), -1)
        yield detector.unit(tokens) if is_unit else tokens


def _fill_positions(memory: PositionStatistics, tokens: Tensor) -> None:
    """Fit from (n, N, C) half-precision unit tokens."""
    flat = tokens.flatten(0, 1)
    some = flat[:: max(1, len(flat) // CANDIDATES)].float()
    dims = memory.basis.shape[1]
    memory.basis.copy_(_principal(some - some.mean(0))[0][:, :dims])
    z = torch.stack([picture.float() @ memory.basis for picture in tokens])
    memory.mean.copy_(z.mean(0))
    centred = (z - memory.mean).transpose(0, 1).double()
    covariance = centred.mT @ centred / max(1, len(z) - 1)
    ridge = RIDGE * z.var(dim=(0, 1)).mean().double().clamp_min(1e-9)
    lower = torch.linalg.cholesky(covariance + ridge * torch.eye(dims, dtype=torch.float64))
    memory.whiten.copy_(torch.linalg.inv(lower).mT)


def _fill_image(image: ImageStatistics, pooled: Tensor) -> None:
    """Fit from (n, 2C) pooled features."""
    image.centre.copy_(pooled.mean(0))
    image.scale.copy_(pooled.std(0) + 1e-3 * image.centre.abs() + 1e-3)
    basis, variances = _principal((pooled - image.centre) / image.scale)
    dims = min(image.basis.shape[1], len(pooled) - 1)
    average = variances.sum() / len(variances)
    image.basis.zero_()
    image.gain.zero_()
    image.basis[:, :dims] = basis[:, :dims]
    image.gain[:dims] = 1 / (variances[:dims] + average)
    image.rest_gain.copy_(1 / average)


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Principal directions (C, C) and variances (C,) of (n, C) centred rows, strongest first."""
    covariance = centred.T.double() @ centred.double() / max(1, len(centred) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors.flip(1).float(), values.flip(0).clamp_min(0).float()


def trial_pictures(held_out: Sequence[Sample]) -> Sequence[Sample]:
    """Held-out pictures that the trial uses, spread over all of them."""
    return held_out[:: max(1, len(held_out) // TRIAL_PICTURES)][:TRIAL_PICTURES]


@torch.no_grad()
def weigh_branches(
    detector: Detector,
    probes: Mapping[str, DefectProbe],
    held_out: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Detector:
    """Find every branch's share on synthetic defects; return a detector without the useless ones.

    INP-Former always judges; memory and position join with a share each, the probe with
    PROBE_SHARE. The image branch takes no part: local defects say nothing about it. `probes` as
    from synthetic_probes, empty if the detector has none.
    """
    names = detector.companions
    if not names:
        return detector
    maps, labels = [], []
    rng = np.random.default_rng(seed)
    for sample in trial_pictures(held_out):
        pixels = read_pixels(sample.path)
        changed = [add_defect(pixels, rng) for _ in range(DEFECTS_EACH)]
        for picture, kind in [(pixels, GOOD), *((each, kind) for each, _, kind in changed)]:
            detector.probe = probes.get(kind)
            maps.append(detector.branches(extract(detector, network_inputs(picture, shape))))
            labels.append(kind != GOOD)
        advance(1)
    detector.probe = probes.get(GOOD)
    together, defective = torch.cat(maps), np.array(labels)
    tiles = shape.tiles
    good = torch.from_numpy(~defective).repeat_interleave(tiles)
    detector.fuse.calibrate(together[good])

    def separation(shares: Sequence[float]) -> Placements:
        detector.fuse.weight.copy_(detector.weights(shares))
        scores = detector.judge(together).score.reshape(-1, tiles).amax(1).numpy()
        return placements(scores[~defective], scores[defective])

    last = (0.0,) if detector.probe is not None else ()
    weighed = len(names) - len(last)
    trials = {
        shares: separation(shares + last) for shares in itertools.product(SHARES, repeat=weighed)
    }
    chosen = mixture(trials)
    if last:
        share = PROBE_SHARE / (1 - PROBE_SHARE) * (1 + sum(chosen))
        before, after = separation([*chosen, 0.0]), separation([*chosen, share])
        chosen.append(0.0 if is_worse(before, after, TOLERANCE) else share)
    return keep(detector, dict(zip(names, chosen, strict=True)))


def mixture(trials: Mapping[tuple[float, ...], Placements]) -> list[float]:
    """Mean of the shares that separate the trial's pictures as well as the best, but for chance.

    Ten held-out pictures hardly tell mixtures apart: every branch then keeps about the same say.
    """
    best = max(trials.values(), key=lambda trial: trial.auroc)
    near = [shares for shares, trial in trials.items() if not is_worse(best, trial, TOLERANCE)]
    return [float(share) for share in np.mean(near, axis=0)]


def keep(detector: Detector, shares: dict[str, float]) -> Detector:
    """Rebuild a detector without the map branches whose share is below LEAST_SHARE."""
    before = detector.settings.branches
    left_out = {name for name, share in shares.items() if share < LEAST_SHARE}
    fields = {"memory": "memory", "position": "position_dims", "probe": "probe"}
    branches = before.model_copy(update={fields[name]: 0 for name in left_out})
    smaller = rebuilt(detector, branches)
    smaller.fuse.weight.copy_(smaller.weights([shares[name] for name in smaller.companions]))
    return smaller


def rebuilt(
    detector: Detector, branches: BranchSettings, drawing: MapSettings | None = None
) -> Detector:
    """The detector with other branches; those that both have, and all else, stay as they are.

    `drawing`: other settings of map and score, too.

    `fuse` starts anew but for INP-Former's own weights.
    """
    changes = {"branches": branches, "map": drawing or detector.settings.map}
    other = Detector(detector.settings.model_copy(update=changes)).eval()
    state = other.state_dict()
    state |= {
        name: value
        for name, value in detector.state_dict().items()
        if name in state and state[name].shape == value.shape and not name.startswith("fuse.")
    }
    other.load_state_dict(state)
    return other.requires_grad_(False)


def align_before(detector: Detector, grids: Tensor) -> None:
    """Bring what stood out before labelled defects were learned to the scale of what does now.

    `grids` are branches of held-out good parts. Medians of the frames' scores meet, and so do their
    95 % quantiles.
    """
    if detector.before_weight is None or detector.before_line is None:
        return
    level = detector.fuse.level(grids)

    def score(weight: Tensor) -> Tensor:
        drawn, scored = detector.weighed(level, weight)
        if detector.grid_top is None:
            return detector.map_top(detector.smooth(drawn))
        return detector.grid_top(scored)

    now, before = score(detector.fuse.weight), score(detector.before_weight)
    detector.before_line.copy_(_line(now, before))


def align_score(detector: Detector, grids: Tensor) -> None:
    """Bring scores read from the grid to the scale of maps; `grids` are branches of good parts.

    Medians over the frames meet: a threshold on scores then also tells which places of a map stand
    out. A shift, not a line: one picture is enough for it (docs/adr/0017).
    """
    if detector.grid_top is None:
        return
    drawn, scored = detector.fused(grids)
    on_maps, on_grids = detector.map_top(detector.smooth(drawn)), detector.grid_top(scored)
    detector.score_offset.copy_(on_maps.median() - on_grids.median())


def align_image(detector: Detector, map_scores: Tensor, distances: Tensor) -> None:
    """Bring the image branch to the scale of map scores, from (n,) values of held-out good parts.

    Medians meet, and so do the 95 % quantiles.
    """
    detector.image_line.copy_(_line(map_scores, distances))


def _line(targets: Tensor, values: Tensor) -> Tensor:
    """Offset and slope that bring `values` to the scale of `targets`, (n,) both."""
    (low, high), (middle, most) = (
        (each.median(), each.quantile(0.95)) for each in (targets, values)
    )
    slope = (high - low) / (most - middle).clamp_min(1e-6)
    return torch.stack([low - slope * middle, slope])
