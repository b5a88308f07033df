"""Good parts judged by what the others teach, for scales and threshold of few parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect
from edge.methods.inp_former.branch_fitting import fit_memory
from edge.methods.inp_former.branches import MEMORY
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.instant_features import ORIGINAL, Pool
from edge.methods.inp_former.instant_fitting import fitted
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.methods.inp_former.probe_fitting import Cells
from edge.training.feature_cache import extract

# Parts are left out one at a time while there are no more than this; then in so many shares.
FOLDS = 5
# Pictures that also get synthetic defects, for the fusion weights, and defects on each.
TRIAL_PICTURES, TRIAL_DEFECTS = 10, 2


@dataclass(frozen=True, slots=True)
class Judged:
    """Branch maps of what took no part in the branches that made them.

    Attributes:
        maps: (n * tiles, K, h, w) of good pictures, or of views of the only one.
        pictures: (n,) place of the picture.
        defective: (m * tiles, K, h, w) of pictures with synthetic defects.
        kinds: (m,) of the defects.
    """

    maps: Tensor
    pictures: Tensor
    defective: Tensor
    kinds: tuple[str, ...]


@torch.no_grad()
def leave_out(
    detector: Detector,
    samples: Sequence[Sample],
    pool: Pool,
    cells: Cells,
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Judged:
    """Judge every part by branches that are fitted to the other parts.

    A single picture is judged by its views instead: those of each kind of change by branches that
    are fitted to the other kinds. `advance` is called with 1 after each of `folds(...)`.
    """
    trial = set(np.random.default_rng(seed).permutation(len(samples))[:TRIAL_PICTURES].tolist())
    rng = np.random.default_rng((seed, TRIAL_DEFECTS))
    maps, pictures, defective, kinds = [], [], [], []
    for judged in folds(samples, pool):
        learned = cells
        if len(samples) > 1:
            learned = cells.where(~torch.isin(cells.parts, pool.pictures[judged]))
        others = pool.where(~judged)
        taught = fitted(detector, others, learned, seed)
        own = pool.where(judged & pool.originals if len(samples) > 1 else judged)
        maps += [_maps(taught, tokens) for tokens in own.tokens]
        pictures.append(own.pictures)
        for place in sorted(trial.intersection(own.pictures.tolist())):
            view = read_view(samples[place])
            for _ in range(TRIAL_DEFECTS):
                changed, _, kind = add_defect(view.pixels_bgr, rng, seen=view.seen)
                kinds.append(kind)
                defective.append(
                    taught.branch_maps(extract(taught, network_inputs(changed, shape)))
                )
        advance(1)
    return Judged(torch.cat(maps), torch.cat(pictures), torch.cat(defective), tuple(kinds))


@torch.no_grad()
def by_other_places(detector: Detector, pool: Pool, seed: int) -> Tensor:
    """Branch maps (tiles, K, h, w) of the only picture, each quarter judged by the other quarters.

    The memory bank alone is fitted anew. What another place of the picture shows is as strange to
    it as another part is, roughly; a moved or exposed view is not (docs/adr/0039).
    """
    height, width = detector.grid_hw
    rows, columns = torch.arange(height) * 2 // height, torch.arange(width) * 2 // width
    quarter = (2 * rows[:, None] + columns).flatten()
    first = int(pool.originals.nonzero()[0])
    maps = _maps(detector, pool.tokens[first])
    memory = detector.branches[MEMORY].scorer
    assert isinstance(memory, MemoryBank)  # noqa: S101 - narrowing only
    unit = torch.stack([detector.unit_groups(tokens.float()) for tokens in pool.tokens])
    candidates = memory.aggregated(unit.flatten(0, 1))
    place = detector.branches.names.index(MEMORY)
    for number in range(4):
        bank = fit_memory(memory, candidates[:, quarter != number].flatten(0, 1), seed)
        distances = bank(unit[first]).reshape(-1, height, width)
        maps[:, place] = torch.where(
            quarter.view(height, width) == number, distances, maps[:, place]
        )
    return maps


def folds(samples: Sequence[Sample], pool: Pool) -> list[Tensor]:
    """Which views are judged together, (n,) bool each: all of a part, or of a kind of change."""
    if len(samples) == 1:
        kinds = sorted(set(pool.kinds) - {ORIGINAL})
        return [torch.tensor([kind == left_out for kind in pool.kinds]) for left_out in kinds]
    units = [sample.group for sample in samples]
    if len(set(units)) == 1:  # several pictures of one part: each is left out
        units = [str(place) for place in range(len(samples))]
    names = list(dict.fromkeys(units))
    # Neighbours by name, which may show the same part after all, are left out together.
    share_of = {
        name: place * min(FOLDS, len(names)) // len(names) for place, name in enumerate(names)
    }
    share = torch.tensor([share_of[units[int(place)]] for place in pool.pictures])
    return [share == number for number in share.unique()]


def _maps(detector: Detector, tokens: Tensor) -> Tensor:
    """Branch maps (tiles, K, h, w) of (tiles, N, C) half-precision tokens."""
    groups = tokens.float().split(detector.features.channels, -1)
    return detector.branch_maps(groups)
