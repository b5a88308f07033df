"""Training of INP-Former++'s residual head: good pictures with synthetic defects.

The published loss is Dice; the cross-entropy beside it is ours: Dice alone has no gradient left
where all outputs are near zero, and some trainings never leave that.

It follows the training of the reconstruction, which it does not touch: joint and separate training
are reported to be equally good, and this way the reconstruction can use its feature cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect
from edge.inspection.preprocess import views
from edge.methods.inp_former.branches import HEAD
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.multiads.losses import dice_loss
from edge.training.feature_cache import extract

# Network inputs that are made once, as many of them as the memory holds, and the share of them that
# is left without a defect. With a third of them the head learns them by heart.
INPUTS = 480
MEMORY_BYTES = 600_000_000
CLEAN_SHARE = 0.2
BATCH = 8
LEARNING_RATE = 3e-4
# A cell of the head counts as defective from this covered share on: scars are thin.
LEAST_COVER = 0.2


def with_head(settings: ModelSettings, hidden: tuple[int, int] | None) -> ModelSettings:
    """Return the same model with a residual head of these hidden channels, or without one."""
    net = settings.inp_former.model_copy(update={"head": hidden})
    return settings.model_copy(update={"inp_former": net})


def head_units(detector: Detector, settings: TrainingSettings, shape: InputShape) -> int:
    """How far train_head's `advance` counts."""
    return _frames(detector, shape) * shape.tiles + settings.head_steps


def train_head(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    settings: TrainingSettings,
    advance: Callable[[int], None],
) -> None:
    """Train the detector's residual head in place; `advance` counts inputs made, then steps.

    Everything random comes from the seed and the head's initial weights.
    """
    if HEAD not in detector.branches:
        raise ValueError("the detector has no residual head")
    head = detector.branches[HEAD].scorer
    rng = np.random.default_rng((settings.seed, INPUTS))
    residuals, masks = _examples(detector, samples, shape, rng, advance)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE)
    head.requires_grad_(True)
    head.train()
    for _ in range(settings.head_steps):
        rows = torch.from_numpy(rng.choice(len(masks), min(BATCH, len(masks)), replace=False))
        logits, truth = head(residuals[rows].float())[:, 0], masks[rows]
        entropy = F.binary_cross_entropy_with_logits(logits, truth.float())
        loss = dice_loss(logits.sigmoid(), truth) + entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance(1)
    head.requires_grad_(False)
    head.eval()


@torch.no_grad()
def _examples(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Residuals (n, N, C) float16 and masks (n, 4h, 4w) bool of inputs with synthetic defects."""
    residuals: list[Tensor] = []
    masks: list[NDArray[np.bool_]] = []
    cells_hw = detector.grid_hw
    for _ in range(_frames(detector, shape)):
        view = read_view(samples[int(rng.integers(len(samples)))])
        pixels = view.pixels_bgr
        mask = np.zeros(pixels.shape[:2], np.bool_)
        if rng.random() >= CLEAN_SHARE:
            pixels, mask, _ = add_defect(pixels, rng, seen=view.seen)
        groups = extract(detector, network_inputs(pixels, shape))
        residuals.append(detector.patch_features(groups).residual.half())
        masks += [
            covered(tile, cells_hw)
            for tile in views(_as_image(mask), shape.tiles_wh, shape.overlap)
        ]
        advance(shape.tiles)
    return torch.cat(residuals), torch.from_numpy(np.stack(masks))


def _frames(detector: Detector, shape: InputShape) -> int:
    """How many frames give the inputs to train on."""
    height, width = detector.features.grid_hw
    size = 2 * height * width * sum(detector.features.channels)
    return max(1, min(INPUTS, MEMORY_BYTES // size) // shape.tiles)


def covered(mask: NDArray[np.uint8], cells_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Cells of which a mask (H, W, 1), 0 or 255, covers enough; at least one if it is not empty."""
    grey = cv2.resize(mask, cells_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(grey >= min(LEAST_COVER * 255, max(1.0, float(grey.max()))))


def _as_image(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(mask[..., None] * np.uint8(255), np.uint8)
