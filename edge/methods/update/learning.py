"""What a finished run learns from reviews: false rejects as normal, defects as defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from edge.data.false_rejects import FalseRejects
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_mask, read_view
from edge.errors import TrainingError
from edge.methods.inp_former.detector import Detector
from edge.methods.types.map_learning import Ground, Learned, learn_labels
from edge.methods.update.suspects import suspects
from edge.training.feature_cache import extract
from edge.training.progress import Progress

# Cells that describe a picture without a drawing: the highest of its map.
HIGHEST_CELLS = 8


@dataclass(frozen=True, slots=True)
class Lesson:
    """What reviews have taught.

    Attributes:
        learned: detector and calibration; unchanged where nothing was kept.
        suspects: pictures that were left out, for their labels are far from what they say.
        notes: lines for people: what could not teach, and why.
    """

    learned: Learned
    suspects: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


@torch.no_grad()
def learn_reviews(
    ground: Ground, samples: Sequence[Sample], seed: int, progress: Progress
) -> Lesson:
    """Teach reviewed pictures; each kind is kept where its own trial allows it.

    Args:
        ground: a run with products and a calibrated map.
        samples: false rejects are `good`, all others are defects, with masks or without. Groups are
            their parts.
        seed: of what is chosen at random.
        progress: of the stages "reviews", "false rejects", "defects" and "calibration".

    Raises:
        DataError: a picture cannot be used.
    """
    advance = progress("reviews", len(samples))
    described = []
    for sample in samples:
        described.append(_described(ground.detector, sample, ground.shape))
        advance(1)
    is_good = np.array([sample.is_good for sample in samples], np.bool_)
    parts = [sample.group for sample in samples]
    # Nobody draws by a slip of the hand, and a missed defect may well look like good parts.
    is_drawn = np.array([sample.mask is not None for sample in samples], np.bool_)
    wrong = suspects(np.array(described).reshape(len(samples), -1), is_good, parts) & ~is_drawn
    kept = [sample for sample, out in zip(samples, wrong, strict=True) if not out]
    rejects = _halves([sample for sample in kept if sample.is_good])
    own = [sample for sample in kept if not sample.is_good]
    notes = []
    if rejects is None and any(sample.is_good for sample in kept):
        notes.append("false rejects of one part alone: one is to learn and another to try")
    try:
        learned = learn_labels(ground, rejects, own, seed, progress)
    except TrainingError:
        # Defects that nobody has drawn, and that the map does not show.
        notes.append(
            f"{len(own)} defects without a drawing, which the map does not show; draw them"
        )
        learned = learn_labels(ground, rejects, (), seed, progress)
    left_out = tuple(sample for sample, out in zip(samples, wrong, strict=True) if out)
    return Lesson(learned, left_out, tuple(notes))


def _halves(samples: Sequence[Sample]) -> FalseRejects | None:
    """Share false rejects out by part; None where there are fewer than two parts."""
    parts = list(dict.fromkeys(sample.group for sample in samples))
    if len(parts) < 2:
        return None
    first = set(parts[::2])
    return FalseRejects(
        (
            tuple(sample for sample in samples if sample.group in first),
            tuple(sample for sample in samples if sample.group not in first),
        )
    )


def _described(detector: Detector, sample: Sample, shape: InputShape) -> NDArray[np.float32]:
    """Mean unit features (C,) of the drawing, else of the highest cells of the map."""
    pixels = read_view(sample).pixels_bgr
    groups = extract(detector, network_inputs(pixels, shape))
    tokens = F.normalize(torch.cat(groups, -1).float(), dim=-1).flatten(0, 1)
    level = detector.fused(detector.branch_maps(groups))[0]
    height = F.adaptive_max_pool2d(level, detector.features.grid_hw).flatten()
    if sample.mask is not None and shape.tiles_wh == (1, 1):
        mask = torch.from_numpy(read_mask(sample, pixels.shape[1::-1]).astype(np.float32))
        cover = F.adaptive_max_pool2d(mask[None, None], detector.features.grid_hw).flatten()
        chosen = cover.nonzero()[:, 0]
        if len(chosen):
            return np.asarray(tokens[chosen].mean(0).numpy(), np.float32)
    highest = height.topk(min(HIGHEST_CELLS, len(height))).indices
    return np.asarray(tokens[highest].mean(0).numpy(), np.float32)
