"""Features of few good pictures and of changed views of them, all in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.small_changes import MOST, small_changes
from edge.data.synthetic_defects import add_defect, any_kind
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.probe_fitting import CellCollector, Cells, probe_of
from edge.networks.features import PyramidFeatures
from edge.training.feature_cache import extract

# Network inputs that are kept of the good pictures and their views together.
INPUTS = 48
# Synthetic defects that the probe learns from, in all and on one picture.
DEFECTS, DEFECTS_EACH = 80, 40
ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Pool:
    """Features of views, in the order of their pictures; the first of each is the picture itself.

    Attributes:
        tokens: (n, tiles, N, C) half precision, the groups side by side.
        pictures: (n,) place of each view's picture.
        kinds: what was changed, `original` for the picture itself.
    """

    tokens: Tensor
    pictures: Tensor
    kinds: tuple[str, ...]

    def where(self, chosen: Tensor) -> Pool:
        """The views that a (n,) bool mask chooses."""
        kinds = tuple(
            kind for kind, is_in in zip(self.kinds, chosen.tolist(), strict=True) if is_in
        )
        return Pool(self.tokens[chosen], self.pictures[chosen], kinds)

    @property
    def originals(self) -> Tensor:
        """(n,) bool: which views are unchanged pictures."""
        return torch.tensor([kind == ORIGINAL for kind in self.kinds])


def views_each(pictures: int, tiles: int) -> int:
    """Changed views of each picture: fewer of more pictures, none of many."""
    return int(np.clip(INPUTS // (pictures * tiles) - 1, 0, MOST))


@torch.no_grad()
def pooled(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    changed: int,
    advance: Callable[[int], None],
) -> Pool:
    """Compute features of pictures and of `changed` views of each, and set the groups' scale.

    Raises:
        DataError: a picture is unreadable.
    """
    found: list[tuple[Tensor, ...]] = []
    pictures, kinds = [], []
    for place, sample in enumerate(samples):
        view = read_view(sample)
        for kind, pixels in [(ORIGINAL, view.pixels_bgr), *small_changes(view, changed)]:
            found.append(extract(detector, network_inputs(pixels, shape)))
            pictures.append(place)
            kinds.append(kind)
        advance(1)
    groups = [torch.stack(group) for group in zip(*found, strict=True)]
    if isinstance(detector.features, PyramidFeatures):
        detector.features.set_scale(torch.stack([group.square().mean() for group in groups]))
        scales = detector.features.rms
        groups = [group / scale for group, scale in zip(groups, scales, strict=True)]
    return Pool(torch.cat(groups, -1).half(), torch.tensor(pictures), tuple(kinds))


@torch.no_grad()
def defective_cells(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    seed: int,
    name: str,
    advance: Callable[[int], None],
) -> Cells:
    """Cells of good pictures and of synthetic defects on them; `parts` are places of pictures.

    `name` is that of the probe's branch.
    """
    rng = np.random.default_rng((seed, DEFECTS))
    collector = CellCollector(detector, probe_of(detector, name), shape, rng)
    each = min(DEFECTS_EACH, -(-DEFECTS // len(samples)))
    for place, sample in enumerate(samples):
        view = read_view(sample)
        collector.take(view.pixels_bgr, None, kind=0, part=place)
        for _ in range(each):
            changed, mask, _ = add_defect(view.pixels_bgr, rng, any_kind(rng), view.seen)
            collector.take(changed, mask, kind=1, part=place)
        advance(1)
    return collector.cells()
