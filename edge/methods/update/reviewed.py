"""What a run sees on reviewed pictures: features, maps, and the cells that a review speaks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_mask, read_view
from edge.data.synthetic_defects import add_defect
from edge.inspection.preprocess import views
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.update.direction import Cells
from edge.networks.features import Groups
from edge.training.feature_cache import extract

# Cells that speak for a picture without a drawing: the highest of its map.
HIGHEST_CELLS = 8
# Of these, cells below this share of the peak are not sure to be part of the defect.
LEAST_SHARE = 0.5
# Half of the weight of a good picture is on its highest cells: they are what could be rejected.
HARD_SHARE = 0.5

# Features of a picture, one (t, N, C_g) tensor per group, t counting network inputs.
Reader = Callable[[Sample], Groups]


@dataclass(frozen=True, slots=True)
class ReviewedPicture:
    """One reviewed picture.

    Attributes:
        groups: its features in half precision.
        cells: of the defect, or what a false reject was rejected for.
    """

    sample: Sample
    groups: Groups
    cells: Cells

    @property
    def features(self) -> Groups:
        """Its features, (t, N, C_g) float32."""
        return tuple(group.float() for group in self.groups)

    @property
    def described(self) -> NDArray[np.float32]:
        """Mean unit features of its cells, (C,)."""
        mean = (self.cells.values * self.cells.weights.unsqueeze(1)).sum(0)
        return np.asarray(F.normalize(mean, dim=0).numpy(), np.float32)


def reader(detector: Detector, shape: InputShape) -> Reader:
    """Read pictures by the features of a run.

    Raises:
        DataError: (by the reader) a picture is unreadable.
    """
    return partial(_read, detector, shape)


def read_reviewed(
    detector: Detector, probe: DefectProbe, sample: Sample, shape: InputShape, read: Reader
) -> ReviewedPicture:
    """Read a reviewed picture and find its cells.

    Args:
        detector: of the run, whose map says which cells are the highest.
        probe: says what is read of a cell.
        sample: good for a false reject, else a defect, with a drawing or without.
        shape: network inputs of a picture.
        read: gives the features.

    Raises:
        DataError: the picture or its mask is unreadable.
    """
    groups = read(sample)
    inputs = probe.inputs(torch.cat(groups, -1)).flatten(0, 1)
    weights = torch.zeros(len(inputs))
    if sample.mask is not None:
        weights = _cover(sample, detector.features.grid_hw, shape)
    if not weights.any():
        height = _height(detector, groups)
        peak = height.max()
        least = -torch.inf if sample.is_good or peak <= 0 else LEAST_SHARE * peak
        highest = height.topk(min(HIGHEST_CELLS, len(height))).indices
        weights[highest[height[highest] >= least]] = 1.0
    return ReviewedPicture(sample, tuple(group.half() for group in groups), _cells(inputs, weights))


def with_synthetic_defect(
    detector: Detector, sample: Sample, shape: InputShape, rng: np.random.Generator
) -> Groups:
    """Features of a good part with a local synthetic defect on it, as a Reader gives them.

    Raises:
        DataError: the picture is unreadable.
    """
    view = read_view(sample)
    changed, _, _ = add_defect(view.pixels_bgr, rng, seen=view.seen)
    return extract(detector, network_inputs(changed, shape))


def good_cells(detector: Detector, probe: DefectProbe, groups: Groups) -> Cells:
    """Cells of a good part: all of them, and its highest ones once more."""
    inputs = probe.inputs(torch.cat(groups, -1)).flatten(0, 1)
    weights = torch.full((len(inputs),), (1 - HARD_SHARE) / len(inputs))
    highest = _height(detector, groups).topk(min(HIGHEST_CELLS, len(inputs))).indices
    weights[highest] += HARD_SHARE / len(highest)
    return Cells(inputs, weights)


def map_by(detector: Detector, probe: DefectProbe, groups: Groups) -> Tensor:
    """The map (t, 1, h, w) of a probe at the size of the detector's own ones."""
    values = probe(torch.cat(groups, -1))
    grid = values.unflatten(-1, detector.features.grid_hw).unsqueeze(1)
    if detector.grid_hw == detector.features.grid_hw:
        return grid
    return F.interpolate(grid, detector.grid_hw, mode="bilinear", align_corners=False)


def _read(detector: Detector, shape: InputShape, sample: Sample) -> Groups:
    return extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))


def _height(detector: Detector, groups: Groups) -> Tensor:
    """The map of a run at the cells of all network inputs, (t N,)."""
    level = detector.fused(detector.branch_maps(groups))[0]
    return F.adaptive_max_pool2d(level, detector.features.grid_hw).flatten()


def _cover(sample: Sample, grid_hw: tuple[int, int], shape: InputShape) -> Tensor:
    """Share of every cell that the drawing covers, (t N,)."""
    mask = read_mask(sample, read_view(sample).pixels_bgr.shape[1::-1])
    grey = np.asarray(mask[..., None] * np.uint8(255), np.uint8)
    tiles = views(grey, shape.tiles_wh, shape.overlap)
    shares = [
        cv2.resize(tile.astype(np.float32), grid_hw[::-1], interpolation=cv2.INTER_AREA).reshape(-1)
        for tile in tiles
    ]
    return torch.from_numpy(np.concatenate(shares) / np.float32(255))


def _cells(inputs: Tensor, weights: Tensor) -> Cells:
    shown = weights.nonzero()[:, 0]
    return Cells(inputs[shown], weights[shown] / weights.sum())
