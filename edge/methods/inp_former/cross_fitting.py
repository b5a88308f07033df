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

from edge.frame import GOOD
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import INP_FORMER, PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fold_probes import cells_by_share, probe_without, probes_by_kind
from edge.methods.inp_former.fusion_fitting import with_probe
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.network import InpFormer
from edge.methods.inp_former.probe_fitting import probe_of
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.networks.anomaly_map import good_scale
from edge.networks.features import Groups
from edge.training.progress import Progress
from edge.training.run_folder import FOLDS

# Pictures that tell the level of a decoder's maps.
LEVEL_PICTURES = 240
BATCH = 16


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
    count = good.count
    of_share = [share * min(training.folds, count) // count for share in range(count)]
    decoders, levels = [untrained] * count, [_unchanged(detector)] * count
    if INP_FORMER in detector.branches:
        decoders = _decoders(untrained, good, of_share, training, folder, progress)
        levels = [_level(detector, each, good, of_share, n) for n, each in enumerate(decoders)]
    cells = cells_by_share(detector, good, training, progress)
    advance = progress("shares", count + 1)
    folds = []
    by_kind: dict[int, dict[str, DefectProbe]] = {}
    for share, number in enumerate(of_share):
        others = good.with_shares([share], left_out=True)
        own = fit_branches(detector, good.of(others), training.seed)
        own = own.replaced(inp_former=decoders[number])
        if cells:
            shaped = probe_of(detector, PROBE)
            own = with_probe(own, probe_without(shaped, cells, [share]))
            if number not in by_kind:
                by_kind[number] = probes_by_kind(shaped, cells, _same(of_share, number))
        folds.append(Fold(own, by_kind.get(number, {}), *levels[number]))
        advance(1)
    fitted = fit_branches(detector, good.of(good.learned), training.seed)
    if cells:
        fitted = with_probe(fitted, probe_without(probe_of(detector, PROBE), cells, []))
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
        order.append(good.inputs(pictures))
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
        network = copy.deepcopy(untrained).requires_grad_(True)
        trainer = Trainer(network, settings, place)
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
    ours = good_scale(_own_maps(detector, good, good.learned))
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


def _same(of_share: Sequence[int], number: int) -> list[int]:
    return [share for share, own in enumerate(of_share) if own == number]
