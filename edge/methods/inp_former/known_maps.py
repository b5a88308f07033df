"""Maps of good parts by detectors that did not learn from them, for what is learned later.

A cross-fitted run has learned from all of its good parts (docs/adr/0036). What is learned later
takes one half of them to learn what is good, and is judged on the other half: there the branches of
the run are those that did not learn from the part, and the new ones did not either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.products import Products
from edge.methods.inp_former.branches import BranchList
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.good_maps import GoodMaps
from edge.training.feature_cache import extract
from edge.training.run_folder import Calibration


@dataclass(frozen=True, slots=True)
class KnownMaps:
    """Of n held-out good pictures of t network inputs each.

    Attributes:
        maps: (n, t, K, h, w) of the run's branches before they are normalized.
        distances: (n, t) of the image branch; None without one.
    """

    maps: Tensor
    distances: Tensor | None

    def of(self, index: int, maps: Tensor) -> Tensor:
        """Maps (t, K', h, w) of a detector with more branches, with those known in their place."""
        known = self.maps[index]
        return torch.cat([known, maps[:, known.shape[1] :]], 1)

    def distance(self, index: int) -> Tensor | None:
        """Image distances (t,) of one picture."""
        return None if self.distances is None else self.distances[index]


class Halves(NamedTuple):
    """Good parts that may teach and those that are judged, and what is known of the latter."""

    products: Products
    known: KnownMaps


def halves(products: Products, found: GoodMaps, tiles: int) -> Halves:
    """Share the parts of a cross-fitted run out by the shares that they were dealt into.

    Args:
        products: read with the run's shares: all parts are in `train`.
        found: of the same pictures in the same order.
        tiles: network inputs of a picture.
    """
    judged = [index for index, share in enumerate(products.shares) if share % 2]
    teaching = [index for index, share in enumerate(products.shares) if not share % 2]
    maps = found.maps.unflatten(0, (-1, tiles))[judged]
    distances = None
    if found.distances is not None:
        distances = found.distances.unflatten(0, (-1, tiles))[judged]
    shared = replace(
        products,
        train=tuple(products.train[index] for index in teaching),
        held_out=tuple(products.train[index] for index in judged),
        shares=(),
    )
    return Halves(shared, KnownMaps(maps, distances))


def place_of(branches: BranchList, name: str) -> int:
    """The place of a branch's first map among all."""
    before = branches.names[: branches.names.index(name)]
    return sum(branches[each].maps for each in before)


@torch.no_grad()
def calibrate_known(
    detector: Detector,
    samples: Sequence[Sample],
    known: KnownMaps,
    shape: InputShape,
    advance: Callable[[int], None],
) -> tuple[Detector, Calibration]:
    """As calibration.calibrate, with the maps that are known of the pictures."""
    maps = []
    for index, sample in enumerate(samples):
        groups = extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))
        maps.append(known.of(index, detector.branch_maps(groups)))
        advance(1)
    distances = None if known.distances is None else known.distances.flatten()
    detector = scaled(detector, torch.cat(maps), distances)
    scores = [
        float(detector.judge(each, known.distance(index)).score.amax())
        for index, each in enumerate(maps)
    ]
    return detector, Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(scores),
        method="cross-conformal",
    )
