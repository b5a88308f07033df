"""What the head of a fast form learns from: the full form's grids for changed good pictures.

Every lesson is a training picture as another frame of it could look, two of three with a synthetic
defect. The full form knows its training pictures by heart, so it is asked about changed ones: its
answers for those are about what it says of new parts. The image branch is fitted to the pictures as
they are, as that of the full form was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.small_changes import MOST, small_changes
from edge.data.synthetic_defects import add_defect, any_kind
from edge.geometry.view_transform import View
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.networks.features import PyramidFeatures
from edge.toolchain.fast_form.network import FastDetector

# Lessons in all, and of one picture at most: more of the same part teach nothing new.
LESSONS = 900
MOST_EACH = 30
# Of a picture's lessons every third one is good.
GOOD_EVERY = 3
# Network inputs at once.
BATCH = 8


@dataclass(frozen=True, slots=True)
class Lessons:
    """Inputs and answers; n counts tiles.

    Attributes:
        levels: stages of the backbone, (n, G, H, W) float16 each.
        grids: the full form's grids of map and score, (n, 2, h, w) float32.
        good: (n,) bool, no defect was added.
        pooled: (m, 2 x sum of G) pooled features of the unchanged pictures.
    """

    levels: tuple[Tensor, ...]
    grids: Tensor
    good: Tensor
    pooled: Tensor

    def __len__(self) -> int:
        return len(self.grids)


def planned(train: Sequence[Sample], lessons: int = LESSONS) -> tuple[Sequence[Sample], int]:
    """Pictures that lessons are made of, spread over all, and the lessons of each."""
    each = min(MOST_EACH, max(GOOD_EVERY, -(-lessons // len(train))))
    count = min(len(train), -(-lessons // each))
    return [train[number * len(train) // count] for number in range(count)], each


@torch.no_grad()
def make_lessons(
    full: Detector,
    fast: FastDetector,
    train: Sequence[Sample],
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
    lessons: int = LESSONS,
) -> Lessons:
    """Ask the full form; `advance(1)` is called after each of the `planned` pictures.

    Raises:
        DataError: a picture is unreadable.
    """
    rng = np.random.default_rng((seed, LESSONS))
    taken: list[Lessons] = []
    pictures, each = planned(train, lessons)
    for sample in pictures:
        view = read_view(sample)
        unchanged = torch.from_numpy(network_inputs(view.pixels_bgr, shape))
        pooled = ImageStatistics.pooled(fast.tokens(fast.levels(unchanged)))
        shown, good = _changed(view, each, rng)
        inputs = np.concatenate([network_inputs(pixels, shape) for pixels in shown])
        answers = [_answers(full, fast, part) for part in torch.from_numpy(inputs).split(BATCH)]
        stages, grids = zip(*answers, strict=True)
        taken.append(
            Lessons(
                tuple(torch.cat(stage) for stage in zip(*stages, strict=True)),
                torch.cat(grids),
                torch.tensor(good).repeat_interleave(shape.tiles),
                pooled,
            )
        )
        advance(1)
    return Lessons(
        tuple(torch.cat(stage) for stage in zip(*(each.levels for each in taken), strict=True)),
        *(
            torch.cat([getattr(each, name) for each in taken])
            for name in ("grids", "good", "pooled")
        ),
    )


def _changed(view: View, count: int, rng: np.random.Generator) -> tuple[list[Image], list[bool]]:
    """Changed copies of a view, and which of them show a good part."""
    changes = [pixels for _, pixels in small_changes(view, MOST)]
    shown, good = [], []
    for number in range(count):
        pixels = changes[int(rng.integers(len(changes)))]
        good.append(number % GOOD_EVERY == 0)
        if not good[-1]:
            pixels = add_defect(pixels, rng, any_kind(rng), view.seen)[0]
        shown.append(pixels)
    return shown, good


def _answers(
    full: Detector, fast: FastDetector, frames: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Stages that the fast form reads of (B, H, W, 3) frames, and the full form's grids."""
    features = full.features
    assert isinstance(features, PyramidFeatures)  # noqa: S101 - narrowing only
    levels = features.backbone(fast.normalised(frames))  # once for both forms
    grids = torch.cat(full.fused(full.branch_maps(features.tokens(levels))), 1)
    return tuple(level.half() for level in levels[: len(fast.settings.channels)]), grids
