"""Which defect type: a region's tokens against text vectors, on the features read anyway.

MultiADS aligns every patch with the text by itself. Here what is aligned is the region that the
anomaly map has found: tokens are pooled over it first, and everything after is linear, so that
pooling logits is the same as pooling tokens. Each labelled region is then one
example, instead of hundreds of unequal patches, most of them at its edge.

Symbols: B batch, N tokens on an h x w grid, C channels, D text width, 1 + K rows (normal, types).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TypeBranch(nn.Module):
    """Standardise, map into the text space, compare with the rows of the text bank.

    Attributes:
        weight, bias: (C, D) and (D,), what training finds.
        bank: (1 + K, D) unit rows, see `text_rows`.
        text_centre: (D,) mean of the rows that training saw; new types are centred by it too.
    """

    centre: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    bank: Tensor
    text_centre: Tensor

    def __init__(self, channels: int, text_width: int, types: int, grid_hw: tuple[int, int]):
        super().__init__()
        self.grid_hw = grid_hw
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("weight", torch.zeros(channels, text_width))
        self.register_buffer("bias", torch.zeros(text_width))
        self.register_buffer("bank", torch.zeros(1 + types, text_width))
        self.register_buffer("text_centre", torch.zeros(text_width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of every place, (B, N, C) to (B, 1 + K, h, w).

        The mean of a region's logits is the logit of its mean token.
        """
        # Constants alone: the exporter folds them into one (C, 1 + K) matrix and one row.
        rows = (self.weight / self.scale.unsqueeze(1)) @ self.bank.T
        offset = self.bias @ self.bank.T - self.centre @ rows
        logits = tokens @ rows + offset
        return logits.mT.unflatten(-1, self.grid_hw)


def text_rows(rows: Tensor, centre: Tensor) -> Tensor:
    """Unit rows that say what tells the types apart: (n, D) text vectors without their mean (D,).

    Sentences about one product are alike (cosines above 0.9 with MiniLM): what they share would
    otherwise be nearly all that training aligns with.
    """
    return F.normalize(rows - centre, dim=-1)
