"""Defective pictures without a mask: which of their cells a probe learns as defects.

Multiple instance learning: a bad picture is a bag of cells, of which some show the defect. Taken
are the highest ones of the run's own map, where they are clearly above what good parts show. The
rest of the picture is left out: it may be good, or the faint end of the defect. A probe that was
fitted to these cells draws a better map, and the cells are taken anew by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.calibration import with_branch_scales
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.known_maps import KnownMaps
from edge.methods.inp_former.probe_fitting import Cells, Numbers, probe_of
from edge.training.feature_cache import extract

# How often the cells are taken anew by the probe that was fitted to them.
ROUNDS = 2
# Held-out good pictures whose peaks say what is clearly above good parts, and the quantile of the
# peaks that it begins at.
GOOD_PICTURES = 60
GOOD_QUANTILE = 0.95
# Cells below this share of the picture's own peak are not sure to be part of the defect.
LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Bag:
    """One picture, t network inputs.

    Attributes:
        level: (t, h, w) of the map that the run had before it learned labels.
        maps: (t, K, h, w) branch maps of a candidate; the probe's are replaced.
        tokens: (t, N, C) float16.
        kind, part: numbers of a bad picture, see Numbers; 0 of a good one.
    """

    level: Tensor
    maps: Tensor
    tokens: Tensor
    kind: int = 0
    part: int = 0

    def maps_by(self, candidate: Detector) -> Tensor:
        """Branch maps (t, K, h, w) with those of the candidate's probe, which are the last."""
        values = probe_of(candidate, PROBE)(self.tokens.float())
        grid = values.unflatten(-1, candidate.features.grid_hw).unsqueeze(1)
        if candidate.grid_hw != candidate.features.grid_hw:
            grid = F.interpolate(grid, candidate.grid_hw, mode="bilinear", align_corners=False)
        return torch.cat([self.maps[:, :-1], grid], 1)


@dataclass(frozen=True, slots=True)
class UnmarkedDefects:
    """Bad pictures without masks, and good ones to compare them with."""

    bad: tuple[Bag, ...]
    good: tuple[Bag, ...]

    def without(self, parts: Sequence[int]) -> UnmarkedDefects:
        """All but the bad pictures of some parts."""
        return UnmarkedDefects(tuple(bag for bag in self.bad if bag.part not in parts), self.good)

    def first_cells(self, probe: DefectProbe, grid_hw: tuple[int, int]) -> Cells:
        """Cells that stand out in the map of before labels; `grid_hw` is of the features."""
        levels = [bag.level for bag in self.bad]
        return self._cells(levels, [bag.level for bag in self.good], probe, grid_hw)

    def cells_by(self, candidate: Detector) -> Cells:
        """Cells that stand out in the map of a candidate whose probe is fitted."""
        maps = [bag.maps_by(candidate) for bag in self.good]
        candidate = with_branch_scales(candidate, torch.cat(maps))
        good = [_level(candidate, each) for each in maps]
        bad = [_level(candidate, bag.maps_by(candidate)) for bag in self.bad]
        return self._cells(bad, good, probe_of(candidate, PROBE), candidate.features.grid_hw)

    def _cells(
        self,
        bad: Sequence[Tensor],
        good: Sequence[Tensor],
        probe: DefectProbe,
        grid_hw: tuple[int, int],
    ) -> Cells:
        """Cells from the levels (t, h, w) of bad and good pictures."""
        least = torch.stack([level.max() for level in good]).quantile(GOOD_QUANTILE)
        tokens, kinds, shares, parts = [], [], [], []
        for bag, level in zip(self.bad, bad, strict=True):
            cells = F.adaptive_max_pool2d(level, grid_hw).flatten(1)
            peak = cells.max()
            chosen = cells > torch.maximum(least, LEAST_SHARE * peak)
            count = int(chosen.sum())
            tokens.append(probe.inputs(bag.tokens.float())[chosen])
            kinds.append(torch.full((count,), bag.kind))
            shares.append(torch.full((count,), 1 / max(1, count)))
            parts.append(torch.full((count,), bag.part))
        defect = torch.cat(shares)
        # None of them is known to be good.
        return Cells(
            torch.cat(tokens), torch.cat(kinds), defect, torch.zeros_like(defect), torch.cat(parts)
        )


@torch.no_grad()
def read_unmarked(
    detector: Detector,
    candidate: Detector,
    defects: Sequence[Sample],
    held_out: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
    known: KnownMaps | None = None,
) -> UnmarkedDefects | None:
    """Read the defective pictures that have no mask, and good ones; None without any.

    Args:
        detector: of the run, before labels.
        candidate: has branches for a probe of labelled defects.
        defects: all labelled pictures; those with masks are numbered, too.
        held_out: good parts that no branch was fitted to.
        shape: network inputs of a picture.
        advance: called as unmarked_units counts.
        known: maps of the held-out parts where the detector has learned from them, too.
    """
    unmarked = [sample for sample in defects if sample.mask is None]
    if not unmarked:
        return None
    numbers = Numbers.of(defects)

    def bag(sample: Sample, index: int | None = None) -> Bag:
        groups = extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))
        before, maps = detector.branch_maps(groups), candidate.branch_maps(groups)
        if index is not None and known is not None:
            before, maps = known.maps[index], known.of(index, maps)
        advance(1)
        return Bag(
            _level(detector, before),
            maps,
            torch.cat(groups, -1).half(),
            numbers.kinds.get(sample.label, 0),
            numbers.parts.get(sample.group, 0) if not sample.is_good else 0,
        )

    return UnmarkedDefects(
        tuple(bag(sample) for sample in unmarked),
        tuple(bag(held_out[index], index) for index in _spread(len(held_out))),
    )


def unmarked_units(defects: Sequence[Sample], held_out: Sequence[Sample]) -> int:
    """How far read_unmarked's `advance` counts."""
    unmarked = sum(sample.mask is None for sample in defects)
    return unmarked + len(_spread(len(held_out))) if unmarked else 0


def _spread(count: int) -> range:
    return range(0, count, max(1, -(-count // GOOD_PICTURES)))


def _level(detector: Detector, maps: Tensor) -> Tensor:
    return detector.fused(maps)[0][:, 0]
