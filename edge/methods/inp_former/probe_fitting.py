"""Fitting of the defect probe to cells of good parts and of labelled or synthetic defects.

The fit is convex: there is no schedule to choose, and no epoch. All kinds of defects weigh alike,
all pictures of a kind weigh alike however large their defects are, and good cells weigh as much as
all defective ones together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_mask, read_view
from edge.data.synthetic_defects import AREA_DEFECTS, DEFECTS, add_defect, any_kind
from edge.frame import GOOD
from edge.inspection.preprocess import views
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.training.feature_cache import extract

# Good training pictures that cells are taken from, as they are and with synthetic defects.
PICTURES = 120
# Good cells that are kept of one network input: neighbouring cells are alike.
GOOD_CELLS = 128
# Cells that are kept of one defect; their weights stand for the others.
DEFECT_CELLS = 256
# A defect that covers less than this many cells weighs less than others.
LEAST_CELLS = 0.5
# Weight of |W|^2 beside the mean cross-entropy of standardised tokens of length one. Synthetic
# defects differ from those of the line, so they are fitted with the larger one.
SYNTHETIC_RIDGE = 1e-3
LABELLED_RIDGE = 1e-4
ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of many network inputs.

    Attributes:
        tokens: (n, C) float32, what the probe takes (DefectProbe.inputs).
        kinds: (n,) int64, of the defect in the cell's picture: 1..K, 0 in good pictures.
        defect: (n,) float32, the cell's share of its picture's defect; 0 outside.
        good: (n,) float32, the share of the cell that is good.
        parts: (n,) int64, numbers of what a cross-validation leaves out together.
    """

    tokens: Tensor
    kinds: Tensor
    defect: Tensor
    good: Tensor
    parts: Tensor

    def where(self, chosen: Tensor) -> Cells:
        """The cells that a (n,) bool mask chooses."""
        return Cells(*(getattr(self, each.name)[chosen] for each in fields(self)))

    def joined(self, others: Cells) -> Cells:
        """These cells and others."""
        pairs = ((getattr(self, each.name), getattr(others, each.name)) for each in fields(self))
        return Cells(*(torch.cat(pair) for pair in pairs))

    def weighted(self, factor: float) -> Cells:
        """These cells with another weight."""
        return replace(self, defect=self.defect * factor, good=self.good * factor)

    @property
    def show_a_defect(self) -> bool:
        """A probe can be fitted to them."""
        return bool((self.defect > 0).any())


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of the kinds and of the physical parts of labelled defects, from 1, by name."""

    kinds: Mapping[str, int]
    parts: Mapping[str, int]

    @classmethod
    def of(cls, defects: Sequence[Sample]) -> Numbers:
        """In the order of their names."""
        return cls(
            _numbered({sample.label for sample in defects}),
            _numbered({sample.group for sample in defects}),
        )


class CellCollector:
    """Takes pictures and keeps their defective cells, and some of the good ones.

    Args:
        detector: gives the features.
        probe: of the shape that is to be fitted.
        shape: network inputs of a picture.
        rng: chooses the cells that are kept.
    """

    def __init__(
        self, detector: Detector, probe: DefectProbe, shape: InputShape, rng: np.random.Generator
    ):
        self._detector, self._probe = detector, probe
        self._shape, self._rng = shape, rng
        self._taken: list[Cells] = []

    def take(self, pixels: Image, mask: NDArray[np.bool_] | None, kind: int, part: int) -> None:
        """Take (H, W, 3) uint8 BGR pixels; `mask` (h, w) shows a defect of `kind`, None none."""
        groups = extract(self._detector, network_inputs(pixels, self._shape))
        tokens = self._probe.inputs(torch.cat(groups, -1))
        cover = torch.zeros(tokens.shape[:2])
        if mask is not None:
            grey = np.asarray(mask[..., None] * np.uint8(255), np.uint8)
            tiles = views(grey, self._shape.tiles_wh, self._shape.overlap)
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
        names = [each.name for each in fields(Cells)]
        return Cells(*(torch.cat([getattr(some, n) for some in self._taken]) for n in names))

    def _cover(self, mask: Image) -> NDArray[np.float32]:
        """Share of every cell that a mask (h, w, 1), 0 or 255, covers: (N,)."""
        size_wh = self._detector.features.grid_hw[::-1]
        grey = cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
        return np.asarray(grey.reshape(-1) / 255, np.float32)


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
    """Fit probes like the detector's to synthetic defects on good pictures.

    Returns:
        Under `good` the probe of all kinds; under every kind of DEFECTS one that was not fitted to
        this kind.
    """
    shaped = probe_of(detector, PROBE)
    cells = synthetic_cells(detector, shaped, train, shape, settings, advance)
    probes = {GOOD: fit_probe(shaped, cells, SYNTHETIC_RIDGE)}
    advance(1)
    # For a trial, a quarter of the good cells will do.
    few = cells.where((cells.defect > 0) | (torch.arange(len(cells.kinds)) % 4 == 0))
    for number, name in enumerate(DEFECTS, 1):
        probes[name] = fit_probe(shaped, few.where(few.parts != number), SYNTHETIC_RIDGE)
        advance(1)
    return probes


@torch.no_grad()
def synthetic_cells(
    detector: Detector,
    probe: DefectProbe,
    train: Sequence[Sample],
    shape: InputShape,
    settings: TrainingSettings,
    advance: Callable[[int], None],
) -> Cells:
    """Cells of some good pictures and of synthetic defects on them; `parts` are their kinds."""
    rng = np.random.default_rng((settings.seed, PICTURES))
    collector = CellCollector(detector, probe, shape, rng)
    numbers = {name: number for number, name in enumerate((*DEFECTS, *AREA_DEFECTS), 1)}
    pictures = rng.permutation(len(train))[:PICTURES]
    each = -(-settings.probe_defects // len(pictures))
    for sample in (train[int(index)] for index in pictures):
        view = read_view(sample)
        pixels = view.pixels_bgr
        collector.take(pixels, None, kind=0, part=0)
        for _ in range(each):
            changed, mask, name = add_defect(pixels, rng, any_kind(rng), view.seen)
            collector.take(changed, mask, kind=1, part=numbers[name])
        advance(1)
    return collector.cells()


@torch.no_grad()
def labelled_cells(
    detector: Detector,
    probe: DefectProbe,
    defects: Sequence[Sample],
    good: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
) -> Cells:
    """Cells of labelled defects with masks and of good pictures; `parts` are physical parts.

    Good pictures are part 0.
    """
    collector = CellCollector(detector, probe, shape, np.random.default_rng((seed, PICTURES)))
    numbers = Numbers.of(defects)
    for sample in (*(each for each in defects if each.mask), *good):
        pixels = read_view(sample).pixels_bgr
        if sample.is_good:
            collector.take(pixels, None, kind=0, part=0)
        else:
            mask = read_mask(sample, pixels.shape[1::-1])
            collector.take(pixels, mask, numbers.kinds[sample.label], numbers.parts[sample.group])
        advance(1)
    return collector.cells()


def probe_of(detector: Detector, name: str) -> DefectProbe:
    """Return the probe of one of the detector's branches."""
    probe = detector.branches[name].scorer
    assert isinstance(probe, DefectProbe)  # noqa: S101 - narrowing only
    return probe


def fit_probe(probe: DefectProbe, cells: Cells, ridge: float) -> DefectProbe:
    """Return a probe of the same shape, fitted to cells: softmax regression by L-BFGS.

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
        log_probability = logits.log_softmax(1)
        of_kind = log_probability.gather(1, chosen.unsqueeze(1))[:, 0]
        entropy = -0.5 * ((good * log_probability[:, 0]).sum() + (defect * of_kind).sum())
        loss = entropy + ridge * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    folded = weight.detach().T / scale.unsqueeze(1)
    return probe.fitted(folded, bias.detach() - centre @ folded)


def _numbered(names: set[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(names), 1)}
