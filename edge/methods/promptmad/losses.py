"""Losses of PromptMAD's mask (its sources say focal and no more; form and weights are ours)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.multiads.losses import dice_loss

GAMMA, ALPHA = 2.0, 0.75
# So that the focal loss of an untrained segmentor is about a half.
FOCAL_WEIGHT = 0.3
DICE_WEIGHT = 0.5
REFINED_WEIGHT = 0.5


def binary_focal_loss(
    logit: Tensor, mask: Tensor, gamma: float = GAMMA, alpha: float = ALPHA
) -> Tensor:
    """-alpha (1-p)^gamma log p on defects, -(1-alpha) p^gamma log(1-p) elsewhere.

    Summed over a picture, over its number of defective pixels plus one; mean over the batch.

    Args:
        logit: (B, H, W).
        mask: (B, H, W) bool.
        gamma: 0 leaves the cross-entropy, weighed by alpha.
        alpha: share of the defective pixels.
    """
    target = mask.to(logit.dtype)
    entropy = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    wrong = torch.where(mask, 1 - logit.sigmoid(), logit.sigmoid())
    weight = torch.where(mask, alpha, 1 - alpha) * wrong.pow(gamma)
    return ((weight * entropy).flatten(1).sum(1) / (target.flatten(1).sum(1) + 1)).mean()


def mask_loss(logit: Tensor, mask: Tensor) -> Tensor:
    """Focal and Dice loss of the coarse mask: focal finds the rare, Dice fixes the scale."""
    dice = dice_loss(logit.sigmoid(), mask)
    return FOCAL_WEIGHT * binary_focal_loss(logit, mask) + DICE_WEIGHT * dice


def refined_loss(logit: Tensor, mask: Tensor) -> Tensor:
    """Focal and Dice loss of a refined mask."""
    focal = FOCAL_WEIGHT * binary_focal_loss(logit, mask)
    return REFINED_WEIGHT * (focal + dice_loss(logit.sigmoid(), mask))
