"""A small linear change of unit vectors, nothing at the start (MAVIS)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RESIDUAL = 0.1


class ResidualAdapter(nn.Module):
    """x -> unit(x + 0.1 W x), W zero at the start: unit vectors stay what they were."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, width))

    def forward(self, vectors: Tensor) -> Tensor:
        """Adapt (..., D) to unit vectors of the same shape."""
        return F.normalize(vectors + RESIDUAL * F.linear(vectors, self.weight), dim=-1)
