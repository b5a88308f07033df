"""The map chain of INP-Former's published evaluation, for models whose numbers rest on it.

Our own chain (edge.networks.anomaly_map) keeps borders at full strength; this one is for runs made
elsewhere, so that map and score are those of the published code (section 6 of the method's spec).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.anomaly_map import BothAxes, gaussian_kernel

LONGER_SIDE = 256


class PublishedMap(nn.Module):
    """Grid -> input size -> 256 x 256 -> 5x5, sigma 4 Gaussian with zero padding.

    First step bilinear with aligned corners, second bilinear on pixel centres without antialias.
    All three are linear and work on rows and columns alike, so each axis is one matrix, made when
    the network is built. A frame that is not square, which the published code does not take, gets
    its longer side at 256.

    Args:
        grid_hw: cells of the map that comes in.
        input_hw: pixels of the network's input.
    """

    def __init__(self, grid_hw: tuple[int, int], input_hw: tuple[int, int]):
        super().__init__()
        longer = max(input_hw)
        height, width = (max(1, round(LONGER_SIDE * side / longer)) for side in input_hw)
        self.size_hw = (height, width)
        self.axes = BothAxes(*(_axis(*sides) for sides in zip(grid_hw, input_hw, self.size_hw)))

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, 1, h, w) to (B, H, W)."""
        return self.axes(grid[:, 0])


def _axis(cells: int, pixels: int, side: int) -> Tensor:
    """Matrix (side, cells) of the whole chain along one axis."""
    line = torch.eye(cells, dtype=torch.float64)[None]
    line = F.interpolate(line, size=pixels, mode="linear", align_corners=True)
    line = F.interpolate(line, size=side, mode="linear", align_corners=False)
    kernel = gaussian_kernel()
    smooth = F.conv1d(line.transpose(0, 1), kernel[None, None], padding=len(kernel) // 2)
    return smooth[:, 0].T
