"""Losses of DAPO (section 4 of its spec): focal, Dice from both sides, and the picture's label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.multiads.losses import dice_loss, focal_loss


def local_loss(volumes: Sequence[Tensor], ids: Tensor) -> Tensor:
    """Sum over levels of the focal loss and the Dice losses of the normal and the abnormal side.

    Args:
        volumes: one (B, C, H, W) per level, probabilities, channel 0 normal.
        ids: (B, H, W) int64, 0 normal.
    """
    losses = [
        focal_loss(volume, ids)
        + dice_loss(volume[:, 0], ids == 0)
        + dice_loss(volume[:, 1:].sum(1), ids > 0)
        for volume in volumes
    ]
    return torch.stack(losses).sum()


def global_loss(image_logits: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy of (B, 2) logits of normal and defective; a picture with any id is defective.

    A defect so small that the mask at the map's size has lost it counts as normal.
    """
    return F.cross_entropy(image_logits, ids.flatten(1).any(1).long())
