"""Every part judged by a detector that did not learn from it, and all parts learned from.

Parts are dealt into shares. Memory bank, statistics and probe are cheap: they are fitted without
each share in turn. A decoder is dear: `folds` of them are trained for fewer steps, each without
several shares. Two trainings differ in how well they reconstruct anything at all, by more than
pictures that a decoder has learned differ from others. So a fold's maps are brought to the level of
the final decoder's, by what each says of pictures that it was trained on (docs/adr/0036).
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape
from edge.data.image_set import Sample
from edge.data.synthetic_defects import DEFECTS
from edge.frame import GOOD
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import INP_FORMER, PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import with_probe
from edge.methods.inp_former.network import InpFormer
from edge.methods.inp_former.probe_fitting import (
    PICTURES,
    SYNTHETIC_RIDGE,
    Cells,
    fit_probe,
    probe_of,
    synthetic_cells,
)
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.networks.anomaly_map import good_scale
from edge.networks.features import Groups
from edge.training.feature_cache import FeatureCache
from edge.training.progress import Progress
from edge.training.run_folder import FOLDS

# Pictures that tell the level of a decoder's maps.
LEVEL_PICTURES = 240
BATCH = 16


@dataclass(frozen=True, slots=True)
class Good:
    """The good pictures that a run learns from, as features and as files.

    Attributes:
        cache: features of all network inputs, tile by tile in the order of `samples`.
        shares: number of the share that each picture is dealt into, from 0.
    """

    cache: FeatureCache
    samples: Sequence[Sample]
    shares: NDArray[np.intp]
    shape: InputShape

    @property
    def count(self) -> int:
        """How many shares there are."""
        return int(self.shares.max()) + 1

    def of(self, pictures: NDArray[np.intp]) -> FeatureCache:
        """Features of some pictures."""
        tiles = np.arange(self.shape.tiles)
        return self.cache.some((pictures[:, None] * self.shape.tiles + tiles).reshape(-1))

    def with_shares(self, numbers: Sequence[int], *, left_out: bool = False) -> NDArray[np.intp]:
        """Pictures of some shares, or of all others."""
        return np.flatnonzero(np.isin(self.shares, numbers, invert=left_out))


@dataclass(frozen=True, slots=True)
class Fold:
    """A detector that learned nothing from one share of the pictures.

    Attributes:
        detector: with a probe of all kinds of synthetic defects.
        probes: by kind, probes that were not fitted to this kind either; empty without a probe.
        offset, slope: (K, 1, 1) bring its maps to the level of the final detector's.
    """

    detector: Detector
    probes: Mapping[str, DefectProbe]
    offset: Tensor
    slope: Tensor

    def judge(self, groups: Groups, kind: str = GOOD) -> tuple[Tensor, Tensor | None]:
        """Branch maps (B, K, h, w) and image distances (B,) of frames with a `kind` of defect."""
        detector = self.detector
        if kind in self.probes:
            detector = with_probe(detector, self.probes[kind])
        maps = self.offset + self.slope * detector.branch_maps(groups)
        return maps, detector.image_distance(groups)


def cross_fit(
    detector: Detector,
    untrained: InpFormer,
    good: Good,
    training: TrainingSettings,
    folder: Path,
    progress: Progress,
) -> tuple[Detector, tuple[Fold, ...]]:
    """Fit everything but the fusion to all pictures, and again without each share.

    Args:
        detector: its decoder is trained on all pictures; nothing else is fitted.
        untrained: the decoder that every training starts from.
        good: the pictures.
        training: of the run.
        folder: of the run; decoders of unfinished folds lie there.
        progress: told of the stages `folds`, `probe` and `shares`.

    Returns:
        The fitted detector, without fusion weights and scales, and the fold of each share.
    """
    of_share = [
        share * min(training.folds, good.count) // good.count for share in range(good.count)
    ]
    decoders = _decoders(untrained, good, of_share, training, folder, progress)
    levels = [_level(detector, decoder, good, of_share, n) for n, decoder in enumerate(decoders)]
    cells = _cells(detector, good, training, progress)
    advance = progress("shares", good.count + 1)
    folds = []
    by_kind: dict[int, dict[str, DefectProbe]] = {}
    for share, number in enumerate(of_share):
        others = good.with_shares([share], left_out=True)
        own = fit_branches(detector, good.of(others), training.seed)
        own = own.replaced(inp_former=decoders[number])
        if cells:
            shaped = probe_of(detector, PROBE)
            own = with_probe(own, _probe(shaped, cells, [share]))
            if number not in by_kind:
                by_kind[number] = _by_kind(shaped, cells, _same(of_share, number))
        folds.append(Fold(own, by_kind.get(number, {}), *levels[number]))
        advance(1)
    fitted = fit_branches(detector, good.cache, training.seed)
    if cells:
        fitted = with_probe(fitted, _probe(probe_of(detector, PROBE), cells, []))
    advance(1)
    return fitted, tuple(folds)


@torch.no_grad()
def out_of_fold(folds: Sequence[Fold], good: Good) -> tuple[Tensor, Tensor | None]:
    """What the folds say of all pictures, each of its own share: maps (n, K, h, w), distances (n,).

    n counts tiles, in the order of the pictures.
    """
    order, maps, distances = [], [], []
    for share, fold in enumerate(folds):
        pictures = good.with_shares([share])
        cache = good.of(pictures)
        for start in range(0, len(cache), BATCH):
            rows = range(start, min(start + BATCH, len(cache)))
            found, distance = fold.judge(cache.batch(rows))
            maps.append(found)
            distances += [] if distance is None else [distance]
        tiles = np.arange(good.shape.tiles)
        order.append((pictures[:, None] * good.shape.tiles + tiles).reshape(-1))
    back = torch.from_numpy(np.argsort(np.concatenate(order)))
    return torch.cat(maps)[back], torch.cat(distances)[back] if distances else None


def _decoders(
    untrained: InpFormer,
    good: Good,
    of_share: Sequence[int],
    training: TrainingSettings,
    folder: Path,
    progress: Progress,
) -> list[InpFormer]:
    """One decoder per fold, trained on the shares of the other folds."""
    settings = training.of_fold
    count = max(of_share) + 1
    advance = progress("folds", count * settings.steps)
    decoders = []
    for number in range(count):
        place = folder / FOLDS / str(number)
        place.mkdir(parents=True, exist_ok=True)
        others = good.with_shares(_same(of_share, number), left_out=True)
        trainer = Trainer(copy.deepcopy(untrained), settings, place)
        trainer.run(good.of(others), advance)
        decoders.append(trainer.network.requires_grad_(False))
    return decoders


def clear_folds(folder: Path) -> None:
    """Delete what an unfinished run keeps of its folds."""
    shutil.rmtree(folder / FOLDS, ignore_errors=True)


@torch.no_grad()
def _level(
    detector: Detector, decoder: InpFormer, good: Good, of_share: Sequence[int], number: int
) -> tuple[Tensor, Tensor]:
    """Offset and slope (K, 1, 1) from the maps of a fold's decoder to those of the final one.

    Both are measured on pictures that they were trained on. Other branches are fitted in the same
    way to whatever they are given, and stay as they are.
    """
    others = good.with_shares(_same(of_share, number), left_out=True)
    theirs = good_scale(_own_maps(detector.replaced(inp_former=decoder), good, others))
    ours = good_scale(_own_maps(detector, good, np.arange(len(good.samples))))
    slope = ours[1] / theirs[1]
    rest = len(detector.branches.weight) - len(slope)
    offset = torch.cat([ours[0] - slope * theirs[0], torch.zeros(rest)])
    return offset.view(-1, 1, 1), torch.cat([slope, torch.ones(rest)]).view(-1, 1, 1)


def _unchanged(detector: Detector) -> tuple[Tensor, Tensor]:
    maps = len(detector.branches.weight)
    return torch.zeros(maps, 1, 1), torch.ones(maps, 1, 1)


def _own_maps(detector: Detector, good: Good, pictures: NDArray[np.intp]) -> Tensor:
    """INP-Former's own maps of some of the pictures."""
    cache = good.of(pictures[:: -(-len(pictures) // LEVEL_PICTURES)])
    branch = detector.branches[INP_FORMER]
    batches = (range(s, min(s + BATCH, len(cache))) for s in range(0, len(cache), BATCH))
    return torch.cat([branch(detector.patch_features(cache.batch(rows))) for rows in batches])


def _cells(
    detector: Detector, good: Good, training: TrainingSettings, progress: Progress
) -> list[Cells]:
    """Cells for the probe, share by share; empty if the detector has none."""
    if PROBE not in detector.branches:
        return []
    each = -(-PICTURES // good.count)
    groups = [good.with_shares([share]) for share in range(good.count)]
    rng = np.random.default_rng((training.seed, PICTURES))
    chosen = [rng.permutation(pictures)[:each] for pictures in groups]
    advance = progress("probe", sum(map(len, chosen)))
    cells = []
    for share, pictures in enumerate(chosen):
        settings = training.model_copy(
            update={
                "seed": training.seed * good.count + share,
                "probe_defects": -(
                    -training.probe_defects * len(pictures) // sum(map(len, chosen))
                ),
            }
        )
        samples = [good.samples[int(place)] for place in pictures]
        probe = probe_of(detector, PROBE)
        cells.append(synthetic_cells(detector, probe, samples, good.shape, settings, advance))
    return cells


def _probe(shaped: DefectProbe, cells: Sequence[Cells], left_out: Sequence[int]) -> DefectProbe:
    return fit_probe(shaped, _joined(cells, left_out), SYNTHETIC_RIDGE)


def _by_kind(
    shaped: DefectProbe, cells: Sequence[Cells], left_out: Sequence[int]
) -> dict[str, DefectProbe]:
    """For every kind a probe that was fitted neither to it nor to some shares."""
    all_cells = _joined(cells, left_out)
    # For a trial, a quarter of the good cells will do.
    quarter = torch.arange(len(all_cells.kinds)) % 4 == 0
    few = all_cells.where((all_cells.defect > 0) | quarter)
    return {
        name: fit_probe(shaped, few.where(few.parts != number), SYNTHETIC_RIDGE)
        for number, name in enumerate(DEFECTS, 1)
    }


def _joined(cells: Sequence[Cells], left_out: Sequence[int]) -> Cells:
    kept = [each for share, each in enumerate(cells) if share not in left_out]
    together = kept[0]
    for each in kept[1:]:
        together = together.joined(each)
    return together


def _same(of_share: Sequence[int], number: int) -> list[int]:
    return [share for share, own in enumerate(of_share) if own == number]
