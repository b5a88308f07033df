"""Means over the cells around a cell: what a place looks like together with its surroundings."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Neighbourhood(nn.Module):
    """Mean of the tokens in a square of `side` x `side` cells around every cell.

    PatchCore's local aggregation of patch features (its section 3.1) with the mean.

    Args:
        grid_hw: cells of the frame.
        side: cells, odd; 1 leaves tokens as they are.
    """

    def __init__(self, grid_hw: tuple[int, int], side: int):
        super().__init__()
        self.grid_hw = grid_hw
        self.side = side

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        if self.side == 1:
            return tokens
        grid = tokens.mT.unflatten(-1, self.grid_hw)
        return mean_around(grid, self.side).flatten(2).mT


def mean_around(grid: Tensor, side: int) -> Tensor:
    """Mean over `side` x `side` cells (odd) around each of (B, C, h, w), at borders of fewer."""
    return F.avg_pool2d(grid, side, stride=1, padding=side // 2, count_include_pad=False)
