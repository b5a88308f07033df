"""What the defect probe learns from: cells of good parts, of labelled and of synthetic defects.

Fitting it is convex, so there is no schedule to choose, and no epoch. Kinds weigh by their pictures
and pictures weigh alike, however large their defects are; good cells and defective ones weigh half
each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_mask, read_pixels
from edge.data.synthetic_defects import AREA_DEFECTS, DEFECTS, add_defect, any_kind
from edge.frame import GOOD
from edge.inspection.preprocess import views
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.training.feature_cache import extract

# Good training pictures that are looked at as they are, and with synthetic defects on them.
PICTURES = 120
# Cells of one network input that show what is good: neighbours are alike.
GOOD_CELLS = 128
# Cells of one defect that are kept; they stand for the others.
DEFECT_CELLS = 256
# A defect that covers less than this many cells weighs less than others.
LEAST_CELLS = 0.5
# Weight of |W|^2 beside the mean cross-entropy of standardised tokens of length one. Synthetic
# defects are not what the line will see: what they teach is held back more.
SYNTHETIC_RIDGE = 1e-3
LABELLED_RIDGE = 1e-4
ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of many network inputs.

    Attributes:
        tokens: (n, C) float32, as the probe sees them (DefectProbe.seen).
        kinds: (n,) int64, of the defect in the cell's picture: 1..K, 0 in good pictures.
        defect: (n,) float32, the cell's share of its picture's defect; 0 outside.
        good: (n,) float32, the share of the cell that is good.
        parts: (n,) int64, numbers of what is left out together when a probe is put to the test.
    """

    tokens: Tensor
    kinds: Tensor
    defect: Tensor
    good: Tensor
    parts: Tensor

    def where(self, chosen: Tensor) -> Cells:
        """The cells that a (n,) bool mask chooses."""
        return Cells(
            self.tokens[chosen], self.kinds[chosen], self.defect[chosen], self.good[chosen],
            self.parts[chosen],
        )  # fmt: skip


class CellCollector:
    """Takes pictures and keeps their defective cells, and some of the good ones."""

    def __init__(self, detector: Detector, shape: InputShape, rng: np.random.Generator):
        self._detector, self._shape, self._rng = detector, shape, rng
        self._taken: list[Cells] = []

    def take(self, pixels: Image, mask: NDArray[np.bool_] | None, kind: int, part: int) -> None:
        """Take (H, W, 3) uint8 BGR pixels; `mask` (h, w) shows a defect of `kind`, None none."""
        groups = extract(self._detector, network_inputs(pixels, self._shape))
        assert self._detector.probe is not None  # noqa: S101 - narrowing only
        tokens = self._detector.probe.seen(torch.cat(groups, -1))
        cover = torch.zeros(tokens.shape[:2])
        if mask is not None:
            level = np.asarray(mask[..., None] * np.uint8(255), np.uint8)
            tiles = views(level, self._shape.tiles_wh, self._shape.overlap)
            cover = torch.from_numpy(np.stack([self._cover(tile) for tile in tiles]))
        whole = cover.sum().clamp_min(LEAST_CELLS)
        for values, covered in zip(tokens, cover, strict=True):
            good = torch.from_numpy(self._rng.permutation(len(values))[:GOOD_CELLS])
            shown = torch.nonzero(covered)[:, 0]
            some = shown
            if len(shown) > DEFECT_CELLS:
                some = shown[self._rng.permutation(len(shown))[:DEFECT_CELLS]]
            each = len(shown) / max(1, len(some))
            chosen = torch.cat([good, some]).unique()
            self._taken.append(
                Cells(
                    values[chosen],
                    torch.full((len(chosen),), kind),
                    covered[chosen] / whole * each * torch.isin(chosen, some),
                    (1 - covered[chosen]) * torch.isin(chosen, good),
                    torch.full((len(chosen),), part),
                )
            )

    def cells(self) -> Cells:
        """Everything taken, as one."""
        return Cells(
            *(
                torch.cat([getattr(cells, name) for cells in self._taken])
                for name in ("tokens", "kinds", "defect", "good", "parts")
            )
        )

    def _cover(self, mask: Image) -> NDArray[np.float32]:
        """Share of every cell that a mask (h, w, 1), 0 or 255, covers: (N,)."""
        size_wh = self._detector.features.grid_hw[::-1]
        level = cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
        return np.asarray(level.reshape(-1) / 255, np.float32)


def synthetic_units(train: Sequence[Sample]) -> int:
    """How far synthetic_probes' `advance` counts."""
    return min(PICTURES, len(train)) + 1 + len(DEFECTS)


def synthetic_probes(
    detector: Detector,
    train: Sequence[Sample],
    shape: InputShape,
    settings: TrainingSettings,
    advance: Callable[[int], None],
) -> dict[str, DefectProbe]:
    """Teach the detector's probe synthetic defects on good pictures.

    Returns:
        Under `good` that probe; under every kind of DEFECTS one that has not seen this kind.
    """
    assert detector.probe is not None  # noqa: S101 - narrowing only
    cells = synthetic_cells(detector, train, shape, settings, advance)
    fit_probe(detector.probe, cells, SYNTHETIC_RIDGE)
    advance(1)
    probes = {GOOD: detector.probe}
    # For a trial, a quarter of the good cells will do.
    few = cells.where((cells.defect > 0) | (torch.arange(len(cells.kinds)) % 4 == 0))
    for number, name in enumerate(DEFECTS, 1):
        probe = detector.probe.untaught()
        fit_probe(probe, few.where(few.parts != number), SYNTHETIC_RIDGE)
        probes[name] = probe
        advance(1)
    return probes


@torch.no_grad()
def synthetic_cells(
    detector: Detector,
    train: Sequence[Sample],
    shape: InputShape,
    settings: TrainingSettings,
    advance: Callable[[int], None],
) -> Cells:
    """Cells of some good pictures and of synthetic defects on them; their kind serves as part."""
    rng = np.random.default_rng((settings.seed, PICTURES))
    collector = CellCollector(detector, shape, rng)
    numbers = {name: number for number, name in enumerate((*DEFECTS, *AREA_DEFECTS), 1)}
    pictures = rng.permutation(len(train))[:PICTURES]
    each = -(-settings.probe_defects // len(pictures))
    for sample in (train[int(index)] for index in pictures):
        pixels = read_pixels(sample.path)
        collector.take(pixels, None, kind=0, part=0)
        for _ in range(each):
            changed, mask, name = add_defect(pixels, rng, any_kind(rng))
            collector.take(changed, mask, kind=1, part=numbers[name])
        advance(1)
    return collector.cells()


@torch.no_grad()
def labelled_cells(
    detector: Detector,
    defects: Sequence[Sample],
    good: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Cells:
    """Cells of labelled defects and of good pictures; a physical part is a part.

    Kinds are numbered in the order of their names. Good pictures are part 0.
    """
    collector = CellCollector(detector, shape, np.random.default_rng((seed, PICTURES)))
    kinds = sorted({sample.label for sample in defects})
    parts = sorted({sample.group for sample in defects})
    for sample in (*defects, *good):
        pixels = read_pixels(sample.path)
        if sample.is_good:
            collector.take(pixels, None, kind=0, part=0)
        else:
            mask = read_mask(sample, pixels.shape[1::-1])
            collector.take(
                pixels, mask, 1 + kinds.index(sample.label), 1 + parts.index(sample.group)
            )
        advance(1)
    return collector.cells()


def fit_probe(probe: DefectProbe, cells: Cells, ridge: float) -> None:
    """Set the probe's weights from cells: softmax regression by L-BFGS.

    Raises:
        ValueError: no cell shows a defect.
    """
    chosen = torch.where(cells.defect > 0, cells.kinds, 0)
    defect, good = cells.defect / cells.defect.sum(), cells.good / cells.good.sum()
    if not bool(torch.isfinite(defect).all()):
        raise ValueError("no cell shows a defect")
    centre = cells.tokens.mean(0)
    # Unit length on average, so that one ridge fits every backbone.
    scale = cells.tokens.std(0).clamp_min(1e-6) * cells.tokens.shape[1] ** 0.5
    inputs = (cells.tokens - centre) / scale
    # (K, C): the gradient of the other way round takes MKL many times as long on tall inputs.
    weight = torch.zeros(probe.weight.shape[::-1], requires_grad=True)
    bias = torch.zeros_like(probe.bias, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        logits = F.pad(F.linear(inputs, weight, bias), (1, 0))
        likely = logits.log_softmax(1)
        told = likely.gather(1, chosen.unsqueeze(1))[:, 0]
        entropy = -0.5 * ((good * likely[:, 0]).sum() + (defect * told).sum())
        loss = entropy + ridge * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    folded = weight.detach().T / scale.unsqueeze(1)
    probe.weight.copy_(folded)
    probe.bias.copy_(bias.detach() - centre @ folded)
