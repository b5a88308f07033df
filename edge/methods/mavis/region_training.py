"""Stage B: boxes with labels, and the training of the region stage on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.config.reader import Settings
from edge.errors import TrainingError
from edge.methods.mavis.losses import neg_pair
from edge.methods.mavis.region_stage import RegionStage
from edge.methods.mavis.rois import MAX_ROIS, Rois
from edge.methods.mavis.training_settings import NPair

JITTER = 0.1
# Below this share of defective cells a box is a false alarm.
LEAST_DEFECTIVE = 0.05
NO_LABEL = -100

Boxes = NDArray[np.float32]


class RegionTraining(Settings):
    """Stage B: the region stage, everything else frozen.

    Attributes:
        negation_weight: of the N-pair term on false alarms, beside the cross-entropy.
        clip: of the gradient's norm.
    """

    seed: int = 0
    epochs: int = 10
    batch: int = 16
    lr: float = 1e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    negation: NPair = NPair()
    negation_weight: float = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class RegionPicture:
    """One picture for the region stage.

    Attributes:
        tokens: (N, C) float32 adapted tokens, mean of the levels.
        anomaly: (h, w) float32 in 0..1.
        boxes: (MAX_ROIS, 4) float32, filled up with whole pictures.
        labels: (MAX_ROIS,) int64 row of each box's type, 0 false alarm, NO_LABEL where filled up.
    """

    tokens: Tensor
    anomaly: Tensor
    boxes: Tensor
    labels: Tensor


def truth_boxes(rows: NDArray[np.uint8]) -> Boxes:
    """Boxes x1, y1, x2, y2 in 0..1 of a mask's components, (R, 4), from bank rows (h, w)."""
    height, width = rows.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats((rows > 0).astype(np.uint8))
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist()]
    scale = np.array([width, height, width, height], np.float32)
    return (np.array(boxes, np.float32).reshape(-1, 4) / scale).astype(np.float32)


def jittered(boxes: Boxes, rng: np.random.Generator) -> Boxes:
    """Move every side of (R, 4) boxes by at most a tenth of the box, inside the picture."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + size * rng.uniform(-JITTER, JITTER, boxes.shape)
    return np.clip(moved, 0, 1).astype(np.float32)


def box_label(rows: NDArray[np.uint8], box: Boxes) -> int:
    """Row of the type with most pixels inside a box (4,), 0 if hardly any is defective."""
    height, width = rows.shape
    x1, y1 = int(box[0] * width), int(box[1] * height)
    x2, y2 = (
        max(low + 1, round(high)) for low, high in ((x1, box[2] * width), (y1, box[3] * height))
    )
    inside = rows[y1:y2, x1:x2]
    if (inside > 0).mean() < LEAST_DEFECTIVE:
        return 0
    return 1 + int(np.bincount(inside[inside > 0] - 1).argmax())


def training_set(
    rows: NDArray[np.uint8], rois: Rois, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Boxes (MAX_ROIS, 4) and labels of one picture: half from its mask, half from the selector.

    Where one of the two has too few, the other fills up.
    """
    true = jittered(truth_boxes(rows), rng)
    true = true[rng.permutation(len(true))]
    found = rois.boxes_xyxy
    half = MAX_ROIS // 2
    from_truth = true[: max(half, MAX_ROIS - len(found))]
    boxes = np.concatenate([from_truth, found[: MAX_ROIS - len(from_truth)]])[:MAX_ROIS]
    labels = [box_label(rows, box) for box in boxes]
    missing = MAX_ROIS - len(boxes)
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (missing, 1))
    return (
        torch.from_numpy(np.concatenate([boxes, whole]).astype(np.float32)),
        torch.tensor(labels + [NO_LABEL] * missing),
    )


def roi_recall(found: Sequence[Rois], rows: Sequence[NDArray[np.uint8]]) -> float:
    """Share of the masks' components that a box of the selector touches; NaN without any.

    What the selector misses the region stage cannot repair: aim at 0.95.
    """
    hits: list[bool] = []
    for rois, mask in zip(found, rows, strict=True):
        for true in truth_boxes(mask):
            overlap = np.minimum(rois.boxes_xyxy[:, 2:], true[2:]) - np.maximum(
                rois.boxes_xyxy[:, :2], true[:2]
            )
            hits.append(bool((overlap > 0).all(-1).any()))
    return float(np.mean(hits)) if hits else float("nan")


def region_loss(
    logits: Tensor,
    vectors: Tensor,
    labels: Tensor,
    normal: Tensor,
    sentences: Tensor,
    settings: RegionTraining,
) -> Tensor:
    """Cross-entropy over {false alarm, types}, plus the N-pair loss of false alarms.

    Args:
        logits: (B, R, 1 + K), row 0 false alarm.
        vectors: (B, R, D) unit.
        labels: (B, R) int64, NO_LABEL where there is no box.
        normal: (D,) text of a good part.
        sentences: (J, D) single texts of defects.
        settings: of the training.
    """
    entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NO_LABEL)
    alarms = vectors[labels == 0]
    return entropy + settings.negation_weight * neg_pair(
        alarms, normal, sentences, settings.negation
    )


def train_regions(
    stage: RegionStage,
    pictures: Sequence[RegionPicture],
    bank: Tensor,
    sentences: Tensor,
    settings: RegionTraining,
    advance: Callable[[int], None],
) -> list[float]:
    """Train the stage in place; returns the mean loss of every epoch.

    Args:
        stage: with the widths of tokens and texts.
        pictures: at least one box in all.
        bank: (1 + K, D) adapted rows, row 0 normal.
        sentences: (J, D) adapted.
        settings: of the training.
        advance: called with the number of pictures done.

    Raises:
        TrainingError: there is no box, or the loss is not finite.
    """
    pictures = [picture for picture in pictures if (picture.labels != NO_LABEL).any()]
    if not pictures:
        raise TrainingError("region stage: no picture has a box; lower the selector's limits")
    rng = np.random.default_rng(settings.seed)
    optimizer = torch.optim.AdamW(
        stage.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-len(pictures) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    means = []
    for epoch in range(settings.epochs):
        losses = []
        order = rng.permutation(len(pictures))
        for start in range(0, len(order), settings.batch):
            chosen = [pictures[int(i)] for i in order[start : start + settings.batch]]
            tokens, anomaly, boxes, labels = (
                torch.stack([getattr(picture, name) for picture in chosen])
                for name in ("tokens", "anomaly", "boxes", "labels")
            )
            logits, vectors = stage(tokens, anomaly, boxes, bank[1:])
            loss = region_loss(logits, vectors, labels, bank[0], sentences, settings)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(stage.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            advance(len(chosen))
        means.append(float(np.mean(losses)))
        if not np.isfinite(means[-1]):
            raise TrainingError(f"region stage, epoch {epoch + 1}: the loss is {means[-1]}")
    return means
