"""Good pictures and synthetic defects as features, made once and kept in memory.

The backbone is frozen, so as many defects as the memory holds are drawn beforehand. Few
of them would be learned by heart: see edge.methods.inp_former.residual_head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect, any_kind
from edge.evaluation.metrics import rank
from edge.inspection.preprocess import views
from edge.methods.inp_former.residual_head import CLEAN_SHARE, MEMORY_BYTES, covered
from edge.methods.promptmad.network import PromptMadDetector


@dataclass(frozen=True, slots=True)
class MaskInputs:
    """What a segmentor learns from.

    Attributes:
        residual: (n, C, h, w) float16.
        levels: (n, C_l, h_l, w_l) float16 each; may be none.
        masks: (n, H, W) bool at the mask's size.
    """

    residual: Tensor
    levels: tuple[Tensor, ...]
    masks: Tensor

    def batch(self, rows: Tensor | slice) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Residual, levels (float32) and masks (bool) of some inputs."""
        levels = tuple(level[rows].float() for level in self.levels)
        return self.residual[rows].float(), levels, self.masks[rows]


@dataclass(frozen=True, slots=True)
class PromptInputs:
    """What PromptMAD learns from; half precision.

    Attributes:
        good: (m, N, C) features of good pictures.
        source: (n,) which of them an input was made from.
        changed: (n, N, C) features of the inputs, most of them with a synthetic defect.
        levels, masks: of the inputs, as in MaskInputs.
    """

    good: Tensor
    source: Tensor
    changed: Tensor
    levels: tuple[Tensor, ...]
    masks: Tensor


@torch.no_grad()
def prompt_inputs(
    detector: PromptMadDetector,
    samples: Sequence[Sample],
    count: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> PromptInputs:
    """Read good pictures, at most `count` of them, and draw as many inputs from them.

    `advance` counts pictures read and inputs drawn.
    """
    shape = InputShape(detector.settings.size_wh)
    some = spread(samples, count)
    good = []
    for sample in some:
        inputs = network_inputs(read_view(sample).pixels_bgr, shape)
        good.append(detector.extract(torch.from_numpy(inputs)).tokens.half())
        advance(1)
    sources, changed, masks = [], [], []
    levels: list[tuple[Tensor, ...]] = []
    for source, pixels, mask in draws(some, count, rng):
        seen = detector.extract(torch.from_numpy(network_inputs(pixels, shape)))
        sources.append(source)
        changed.append(seen.tokens.half())
        levels.append(tuple(level.half() for level in seen.levels))
        masks += cells(mask, shape, detector.refiner.size_hw)
        advance(1)
    return PromptInputs(
        torch.cat(good),
        torch.tensor(sources),
        torch.cat(changed),
        tuple(torch.cat(parts) for parts in zip(*levels, strict=True)),
        torch.from_numpy(np.stack(masks)),
    )


@torch.no_grad()
def mask_inputs(detector: PromptMadDetector, inputs: PromptInputs, batch: int) -> MaskInputs:
    """What the detector's reconstruction, as it is now, misses of the inputs."""
    residual = [
        detector.as_grid(detector.missed(tokens.float()).abs()).half()
        for tokens in inputs.changed.split(batch)
    ]
    return MaskInputs(torch.cat(residual), inputs.levels, inputs.masks)


def draws(
    samples: Sequence[Sample], count: int, rng: np.random.Generator
) -> Iterator[tuple[int, Image, NDArray[np.bool_]]]:
    """Yield `count` random pictures: index, pixels (most often with a defect) and mask."""
    for _ in range(count):
        index = int(rng.integers(len(samples)))
        view = read_view(samples[index])
        pixels = view.pixels_bgr
        mask = np.zeros(pixels.shape[:2], np.bool_)
        if rng.random() >= CLEAN_SHARE:
            pixels, mask, _ = add_defect(pixels, rng, any_kind(rng), view.seen)
        yield index, pixels, mask


def cells(
    mask: NDArray[np.bool_], shape: InputShape, size_hw: tuple[int, int]
) -> list[NDArray[np.bool_]]:
    """Mask of every tile at the mask's size."""
    image = np.asarray(mask[..., None] * np.uint8(255), np.uint8)
    return [covered(tile, size_hw) for tile in views(image, shape.tiles_wh, shape.overlap)]


def affordable(wanted: int, bytes_each: int) -> int:
    """How many inputs are drawn when each takes so much memory."""
    return max(1, min(wanted, MEMORY_BYTES // bytes_each))


def spread(samples: Sequence[Sample], limit: int) -> Sequence[Sample]:
    """At most `limit` samples, spread over all of them."""
    return samples[:: max(1, -(-len(samples) // limit))]


def pixel_ap(levels: Iterable[Tensor], masks: Tensor) -> float:
    """Average precision over all pixels together; levels (b, H, W) in batches, masks (n, H, W)."""
    scores = torch.cat(list(levels)).flatten().numpy()
    return rank(masks.flatten().numpy(), scores).ap
