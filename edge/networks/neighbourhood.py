"""Neighbourhood aggregation: the mean over the cells around each cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Neighbourhood(nn.Module):
    """Mean of the tokens in a square of `side` x `side` cells around every cell.

    PatchCore's local aggregation of patch features (its section 3.1) with the mean.

    Args:
        grid_hw: cells of the frame.
        side: cells, odd; 1 leaves tokens as they are.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, grid_hw: tuple[int, int], side: int):
        super().__init__()
        self.grid_hw = grid_hw
        self.side = side
        for name, cells in zip(("rows", "columns"), grid_hw):
            self.register_buffer(name, mean_matrix(cells, side), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        if self.side == 1:
            return tokens
        height, width = self.grid_hw
        batch, _, channels = tokens.shape
        # One product for each axis: an average pool wants channels first; tokens have them last.
        rows = self.rows @ tokens.reshape(batch, height, width * channels)
        means = self.columns @ rows.reshape(batch, height, width, channels)
        return means.reshape(batch, height * width, channels)


def mean_around(grid: Tensor, side: int) -> Tensor:
    """Mean over `side` x `side` cells (odd) around each of (B, C, h, w), at borders of fewer."""
    return F.avg_pool2d(grid, side, stride=1, padding=side // 2, count_include_pad=False)


def mean_matrix(cells: int, side: int) -> Tensor:
    """Matrix (cells, cells) of the means over `side` cells (odd) around each cell of a row."""
    index = torch.arange(cells)
    is_near = (index[:, None] - index).abs() <= side // 2
    return is_near.float() / is_near.sum(1, keepdim=True)
