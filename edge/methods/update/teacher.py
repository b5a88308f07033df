"""Teaches pictures to a run: a bank with false rejects, and a direction for defects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from edge.data.image_set import Sample
from edge.data.products import Products
from edge.methods.inp_former.branches import MEMORY, PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import with_rejects
from edge.methods.inp_former.probe_fitting import PICTURES, probe_of
from edge.methods.inp_former.reject_scores import known_with_rejects
from edge.methods.types.map_learning import Ground
from edge.methods.update.blending import Pictures, with_new_map
from edge.methods.update.direction import Cells, GoodCells, fit_direction, good_cells_of
from edge.methods.update.reviewed import (
    Reader,
    ReviewedPicture,
    good_cells,
    map_by,
    read_reviewed,
    with_synthetic_defect,
)
from edge.networks.features import Groups
from edge.training.progress import Progress

# Parts are left out one by one up to so many, and in so many groups beyond.
FOLDS = 40
# Synthetic defects that must still be told from good parts.
SYNTHETIC = 40


class Seen(NamedTuple):
    """What is said of n pictures.

    Attributes:
        before: branch maps by the run as it is.
        banked: by the run whose bank holds false rejects.
        new: (n, t, 1, h, w), the map of the direction.
    """

    before: Pictures
    banked: Pictures
    new: Tensor


class Teacher:
    """What reviews make of a run, and of a run without some of them.

    Args:
        ground: a run with products and a calibrated map.
        good: cells of its good parts, see `cells_of_good_parts`.
        read: gives the features of a picture.
    """

    def __init__(self, ground: Ground, good: GoodCells, read: Reader):
        self.ground, self.read, self._good = ground, read, good
        self.unfitted = probe_of(with_new_map(ground.detector), PROBE)

    def read_reviewed(self, sample: Sample) -> ReviewedPicture:
        """Read a reviewed picture.

        Raises:
            DataError: the picture or its mask is unreadable.
        """
        detector, shape = self.ground.detector, self.ground.shape
        return read_reviewed(detector, self.unfitted, sample, shape, self.read)

    def probe(self, pictures: Sequence[ReviewedPicture]) -> DefectProbe | None:
        """The direction of the defects among the pictures; None without any."""
        defects = [each.cells for each in pictures if not each.sample.is_good]
        rejects = [each.cells for each in pictures if each.sample.is_good]
        if not defects:
            return None
        return fit_direction(self.unfitted, self._good, defects, rejects)

    def banked(self, pictures: Sequence[ReviewedPicture]) -> Detector:
        """The run with the false rejects among the pictures in its bank."""
        detector = self.ground.detector
        groups = [each.groups for each in pictures if each.sample.is_good]
        if not groups or MEMORY not in detector.branches:
            return detector
        return with_rejects(detector, groups)

    def judged_good(self, pictures: Sequence[ReviewedPicture], progress: Progress) -> Seen:
        """Held-out good parts as seen by what all pictures have taught."""
        ground, products = self.ground, _products(self.ground)
        banked, probe = self.banked(pictures), self.probe(pictures)
        advance = progress("held-out parts", len(products.held_out))
        found = []
        for index, sample in enumerate(products.held_out):
            groups = self.read(sample)
            if ground.known is None:
                found.append(self._maps(groups, banked, probe))
            else:
                own, distance = ground.known.maps[index], ground.known.distance(index)
                taught = own
                if banked is not ground.detector:
                    taught = known_with_rejects(ground.detector, banked, groups, own)
                found.append((own, taught, self._new(groups, probe), distance))
            advance(1)
        return _seen(found)

    def judged_synthetic(self, pictures: Sequence[ReviewedPicture], progress: Progress) -> Seen:
        """Synthetic defects on held-out good parts, as `judged_good` sees these."""
        ground, held_out = self.ground, _products(self.ground).held_out
        chosen = held_out[:: -(-len(held_out) // SYNTHETIC)]
        rng = np.random.default_rng((ground.record.training.seed, SYNTHETIC))
        banked, probe = self.banked(pictures), self.probe(pictures)
        advance = progress("synthetic defects", len(chosen))
        found = []
        for sample in chosen:
            groups = with_synthetic_defect(ground.detector, sample, ground.shape, rng)
            found.append(self._maps(groups, banked, probe))
            advance(1)
        return _seen(found)

    def judged_reviews(self, pictures: Sequence[ReviewedPicture]) -> Seen:
        """The pictures, each as seen by what the others have taught that are of other parts."""
        parts = list(dict.fromkeys(each.sample.group for each in pictures))
        place = {part: number % FOLDS for number, part in enumerate(parts)}
        folds = np.array([place[each.sample.group] for each in pictures])
        everything = self.banked(pictures)
        found: list[tuple[Tensor, Tensor, Tensor, Tensor | None] | None] = [None] * len(pictures)
        for fold in dict.fromkeys(folds.tolist()):
            rest = [each for each, own in zip(pictures, folds, strict=True) if own != fold]
            chosen = np.flatnonzero(folds == fold).tolist()
            has_rejects = any(pictures[index].sample.is_good for index in chosen)
            banked = self.banked(rest) if has_rejects else everything
            probe = self.probe(rest)
            for index in chosen:
                found[index] = self._maps(pictures[index].features, banked, probe)
        return _seen([each for each in found if each is not None])

    def _maps(
        self, groups: Groups, banked: Detector, probe: DefectProbe | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        detector = self.ground.detector
        own = detector.branch_maps(groups)
        taught = own if banked is detector else banked.branch_maps(groups)
        return own, taught, self._new(groups, probe), detector.image_distance(groups)

    def _new(self, groups: Groups, probe: DefectProbe | None) -> Tensor:
        """The map of a direction; of an unfitted one, 0 everywhere, without any."""
        return map_by(self.ground.detector, probe or self.unfitted, groups)


@torch.no_grad()
def cells_of_good_parts(ground: Ground, read: Reader, seed: int, progress: Progress) -> GoodCells:
    """Cells of some good parts that the threshold does not stand on.

    Raises:
        DataError: a picture is unreadable.
    """
    train = _products(ground).train
    chosen = np.random.default_rng((seed, PICTURES)).permutation(len(train))[:PICTURES]
    probe = probe_of(with_new_map(ground.detector), PROBE)
    advance = progress("good parts", len(chosen))

    def cells() -> Iterator[Cells]:
        for index in chosen:
            yield good_cells(ground.detector, probe, read(train[int(index)]))
            advance(1)

    return good_cells_of(cells())


def _products(ground: Ground) -> Products:
    assert ground.products is not None  # noqa: S101 - the caller has looked
    return ground.products


def _seen(found: Sequence[tuple[Tensor, Tensor, Tensor, Tensor | None]]) -> Seen:
    own, taught, new = (torch.stack([row[place] for row in found]) for place in range(3))  # type: ignore[misc]
    distances = [row[3] for row in found if row[3] is not None]
    together = torch.stack(distances) if distances else None
    return Seen(Pictures(own, together), Pictures(taught, together), new)
