"""An image vector in the text space, for backbones that have none.

CLIP's class token attends to every patch. Its replacement is one linear layer with bias on all
feature groups, pooled twice: the mean over the grid describes the picture as a whole, the maximum
shows a defect that covers a few cells and would vanish in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.features import Groups


class ImageHead(nn.Module):
    """Pooled tokens, standardised, to unit vectors of width D; trained from scratch."""

    centre: Tensor
    scale: Tensor

    def __init__(self, channels: Sequence[int], text_width: int):
        super().__init__()
        pooled = 2 * sum(channels)
        self.register_buffer("centre", torch.zeros(pooled))
        self.register_buffer("scale", torch.ones(pooled))
        self.layer = nn.Linear(pooled, text_width)

    @staticmethod
    def pooled(groups: Groups) -> Tensor:
        """Mean and highest value of every channel over positions, m (B, N, C_g) to (B, 2C)."""
        tokens = torch.cat(groups, -1)
        return torch.cat([tokens.mean(1), tokens.amax(1)], -1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (B, 2C) pooled tokens to (B, D) unit vectors."""
        return F.normalize(self.layer((pooled - self.centre) / self.scale), dim=-1)

    @torch.no_grad()
    def standardise(self, pooled: Tensor) -> None:
        """Take centre and scale from (n, 2C) pooled tokens."""
        self.centre.copy_(pooled.mean(0))
        self.scale.copy_(pooled.std(0) + 1e-3 * self.centre.abs() + 1e-3)
