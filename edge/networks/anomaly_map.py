"""Fusion, upsampling and image score as layers, so that they are part of the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL_SIZE = 5
SIGMA = 4.0
EPS = 1e-12


class GroupDistance(nn.Module):
    """Cosine distance of two tokens, group by group; a token holds its groups side by side.

    The sums over a group's channels are products with an indicator matrix. On a CPU this takes a
    third of the time of one reduction per group, and the number of nodes is constant.
    """

    groups: Tensor

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        indicator = torch.block_diag(*(torch.ones(count, 1) for count in channels))
        self.register_buffer("groups", indicator, persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two (B, N, sum of channels) to (B, N, G), 0..2."""
        dot, aa, bb = (product @ self.groups for product in (a * b, a * a, b * b))
        return 1 - dot / (aa * bb + EPS).sqrt()


class CalibratedSum(nn.Module):
    """Weighted sum of K branch maps, each first brought to the scale of good parts.

    A branch value a becomes (a - offset) / scale, where `offset` is the branch's median over good
    frames held out of training and `scale` its 99.9 % quantile minus that median: 0 is ordinary
    and 1 is rare for a good pixel, whatever the branch. The constants are frozen; none is taken
    from the frame itself.

    Attributes:
        offset, scale, weight: (K,).
    """

    offset: Tensor
    scale: Tensor
    weight: Tensor

    def __init__(self, branches: int):
        super().__init__()
        self.register_buffer("offset", torch.zeros(branches))
        self.register_buffer("scale", torch.ones(branches))
        self.register_buffer("weight", torch.full((branches,), 1 / branches))

    def forward(self, branches: Tensor) -> Tensor:
        """Fuse (B, K, h, w) into (B, 1, h, w)."""
        return weighted_sum(normalize(branches, self.offset, self.scale), self.weight)

    @torch.no_grad()
    def calibrate(self, branches: Tensor) -> None:
        """Take offset and scale from (n, K, h, w) values of good frames."""
        offset, scale = good_scale(branches)
        self.offset.copy_(offset)
        self.scale.copy_(scale)


def normalize(branches: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
    """(branches - offset) / scale of (B, K, h, w) maps; the constants are (K,)."""
    shape = (1, -1, 1, 1)
    return (branches - offset.view(shape)) / scale.view(shape)


def weighted_sum(values: Tensor, weight: Tensor, tail_slope: Tensor | None = None) -> Tensor:
    """Sum (B, K, h, w) normalized maps by `weight` (K,) into (B, 1, h, w).

    Above 1, where good pixels are rare, values rise with slope `tail_slope` (K,); None: 1.
    """
    shape = (1, -1, 1, 1)
    if tail_slope is not None:
        above = (values - 1).clamp_min(0)
        values = values - above + tail_slope.view(shape) * above
    return (values * weight.view(shape)).sum(1, keepdim=True)


@torch.no_grad()
def good_scale(branches: Tensor) -> tuple[Tensor, Tensor]:
    """Offset and scale (K,) of (n, K, h, w) maps of good frames; see CalibratedSum."""
    values = branches.transpose(0, 1).flatten(1).double()
    ranks = torch.tensor([0.5, 0.999], dtype=torch.float64)
    middle, high = (_quantile(values, float(rank)) for rank in ranks)
    # As the buffers hold them: single precision.
    return middle.float(), (high - middle).clamp_min(1e-6).float()


class BothAxes(nn.Module):
    """A separable linear operation on maps: one matrix for the rows and one for the columns.

    Args:
        rows, columns: (H, h) and (W, w).
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: Tensor, columns: Tensor):
        super().__init__()
        self.register_buffer("rows", rows.float().contiguous(), persistent=False)
        self.register_buffer("columns", columns.float().contiguous(), persistent=False)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (..., h, w) to (..., H, W)."""
        # Constants on the left: quantization takes constants on the right for weights.
        return self.rows @ (self.columns @ grid.mT).mT


class SmoothMap(nn.Module):
    """Upsample to the map's size and smooth with the 5x5, sigma 4 Gaussian of the papers.

    Upsampling is bilinear. Borders are replicated: the papers' zero padding weakens edges by 39 %
    and corners by 63 %.

    Args:
        grid_hw: cells of the map that comes in.
        size_hw: cells of the map that goes out.
    """

    def __init__(self, grid_hw: tuple[int, int], size_hw: tuple[int, int]):
        super().__init__()
        self.size_hw = size_hw
        self.axes = BothAxes(*(_axis(*sides) for sides in zip(grid_hw, size_hw)))

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, 1, h, w) to (B, H, W)."""
        return self.axes(grid[:, 0])


class TopMean(nn.Module):
    """Image score: the mean of the highest `ratio` of the pixels or cells, at least of one."""

    def __init__(self, ratio: float, pixels: int):
        super().__init__()
        self.count = max(1, int(ratio * pixels))

    def forward(self, anomaly_map: Tensor) -> Tensor:
        """Map (B, H, W), or (B, 1, H, W), to (B,)."""
        return anomaly_map.flatten(1).topk(self.count, sorted=False).values.mean(1)


def gaussian_kernel() -> Tensor:
    """Weights of the smoothing along one axis, (5,) float64, of sum one."""
    position = torch.arange(KERNEL_SIZE, dtype=torch.float64) - KERNEL_SIZE // 2
    kernel = torch.exp(-(position**2) / (2 * SIGMA**2))
    return kernel / kernel.sum()


def _axis(cells: int, side: int) -> Tensor:
    """Matrix (side, cells) of upsampling and smoothing along one axis."""
    line = torch.eye(cells, dtype=torch.float64)[None]
    line = F.interpolate(line, size=side, mode="linear", align_corners=False)
    line = F.pad(line, (KERNEL_SIZE // 2, KERNEL_SIZE // 2), mode="replicate")
    return F.conv1d(line.transpose(0, 1), gaussian_kernel()[None, None])[:, 0].T


def _quantile(values: Tensor, rank: float) -> Tensor:
    """Row quantiles of (K, n) by sorting: torch.quantile refuses more than 16 million values."""
    ordered = values.sort(dim=1).values
    return ordered[:, round(rank * (ordered.shape[1] - 1))]
