"""Losses of MultiADS (section 5 of its spec): focal over types, Dice on normal or not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMOOTHING = 1e-5


def focal_loss(probability: Tensor, ids: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean over pixels of -(1 - p_t)^gamma log p_t over all classes, normal included.

    p_t is the probability under the smoothed one-hot target, plus 1e-5.

    Args:
        probability: (B, C, H, W), summing to 1 over C >= 2.
        ids: (B, H, W) int64 in 0..C-1.
        gamma: 0 makes it the cross-entropy.
    """
    rest = SMOOTHING / (probability.shape[1] - 1)
    true = probability.gather(1, ids.unsqueeze(1))[:, 0]
    others = probability.sum(1) - true
    p_t = (1 - SMOOTHING) * true + rest * others + SMOOTHING
    return (-((1 - p_t) ** gamma) * p_t.log()).mean()


def dice_loss(anomaly: Tensor, mask: Tensor, target: float = 1.0) -> Tensor:
    """1 - (2 sum(p t) + 1) / (sum p + sum t + 1) per picture, mean over the batch.

    Args:
        anomaly: (B, H, W) in 0..1.
        mask: (B, H, W) bool.
        target: t inside the mask. With the released code's 5 a perfect overlap gives about -0.67:
            the loss then rewards recall.
    """
    p, t = anomaly.flatten(1), target * mask.flatten(1).to(anomaly.dtype)
    overlap = (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)
    return 1 - overlap.mean()


def type_loss(volumes: Sequence[Tensor], ids: Tensor, dice_target: float = 1.0) -> Tensor:
    """Sum over levels of focal and Dice loss.

    Args:
        volumes: one (B, C, H, W) per level, probabilities.
        ids: (B, H, W) int64, 0 normal.
        dice_target: see dice_loss.
    """
    losses = [
        focal_loss(volume, ids) + dice_loss(1 - volume[:, 0], ids > 0, dice_target)
        for volume in volumes
    ]
    return torch.stack(losses).sum()
