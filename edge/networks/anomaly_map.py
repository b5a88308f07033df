"""Grid distances -> smoothed map -> score, as layers, so that they live in the exported graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL_SIZE = 5
SIGMA = 4.0
EPS = 1e-12


class GroupDistance(nn.Module):
    """Cosine distance of each token, group by group, of groups that stand side by side.

    The sums over a group's channels are products with an indicator matrix: on a CPU a third of the
    time of one reduction per group, and the same handful of nodes however many groups there are.
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
    """Weighted sum of branches, each first brought to the scale of good parts.

    A branch value a becomes (a - offset) / scale, with the branch's median and its 99.9 % quantile
    minus the median over good frames held out of training: 0 is ordinary, 1 is rare for a good
    pixel, whatever the branch. The constants are frozen; nothing is taken from the frame itself.

    Args:
        branches: K of them.
        beyond: how much of a level above 1 counts, for each branch, 0..1; None: all of it.
    """

    offset: Tensor
    scale: Tensor
    weight: Tensor
    slope: Tensor

    def __init__(self, branches: int, beyond: Sequence[float] | None = None):
        super().__init__()
        self.beyond = tuple(beyond or [1.0] * branches)
        # Follows from the settings, so that files of weights do not hold it.
        self.register_buffer("slope", torch.tensor(self.beyond), persistent=False)
        self.is_linear = all(share == 1 for share in self.beyond)
        self.register_buffer("offset", torch.zeros(branches))
        self.register_buffer("scale", torch.ones(branches))
        self.register_buffer("weight", torch.full((branches,), 1 / branches))

    def forward(self, branches: Tensor) -> Tensor:
        """Fuse (B, K, h, w) into (B, 1, h, w)."""
        return self.weigh(self.level(branches), self.weight, self.drawn_slope)

    @property
    def drawn_slope(self) -> Tensor | None:
        """Of every branch, how much beyond 1 counts; None: all of all of them."""
        return None if self.is_linear else self.slope

    def level(self, branches: Tensor) -> Tensor:
        """Bring (B, K, h, w) to the scale of good parts."""
        shape = (1, -1, 1, 1)
        return (branches - self.offset.view(shape)) / self.scale.view(shape)

    def weigh(self, level: Tensor, weight: Tensor, slope: Tensor | None) -> Tensor:
        """Sum (B, K, h, w) levels by weight (K,); `slope` (K,) of what is beyond 1 counts."""
        shape = (1, -1, 1, 1)
        if slope is not None:
            above = (level - 1).clamp_min(0)
            level = level - above + slope.view(shape) * above
        return (level * weight.view(shape)).sum(1, keepdim=True)

    @torch.no_grad()
    def calibrate(self, branches: Tensor) -> None:
        """Take offset and scale from (n, K, h, w) values of good frames."""
        values = branches.transpose(0, 1).flatten(1).double()
        ranks = torch.tensor([0.5, 0.999], dtype=torch.float64)
        middle, high = (_quantile(values, float(rank)) for rank in ranks)
        self.offset.copy_(middle)
        self.scale.copy_((high - middle).clamp_min(1e-6))


class BothAxes(nn.Module):
    """What is linear and treats rows and columns alike: one matrix for each axis, in one product.

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
        # Constants on the left: those on the right are weights to what makes INT8 graphs.
        return self.rows @ (self.columns @ grid.mT).mT


class SmoothMap(nn.Module):
    """Enlarge to the map's size and smooth with the 5x5, sigma 4 Gaussian of the papers.

    Bilinear; borders are replicated: the papers' zero padding weakens edges by 39 % and corners by
    63 %.

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
    """Score of a frame: the mean of the highest `ratio` of its pixels or cells, at least one."""

    def __init__(self, ratio: float, pixels: int):
        super().__init__()
        self.count = max(1, int(ratio * pixels))

    def forward(self, anomaly_map: Tensor) -> Tensor:
        """Map (B, H, W), or (B, 1, H, W), to (B,)."""
        return anomaly_map.flatten(1).topk(self.count, sorted=False).values.mean(1)


def gaussian_line() -> Tensor:
    """Weights of the smoothing along one axis, (5,) float64, of sum one."""
    position = torch.arange(KERNEL_SIZE, dtype=torch.float64) - KERNEL_SIZE // 2
    line = torch.exp(-(position**2) / (2 * SIGMA**2))
    return line / line.sum()


def _axis(cells: int, side: int) -> Tensor:
    """Matrix (side, cells) of enlarging and smoothing along one axis."""
    line = torch.eye(cells, dtype=torch.float64)[None]
    line = F.interpolate(line, size=side, mode="linear", align_corners=False)
    line = F.pad(line, (KERNEL_SIZE // 2, KERNEL_SIZE // 2), mode="replicate")
    return F.conv1d(line.transpose(0, 1), gaussian_line()[None, None])[:, 0].T


def _quantile(values: Tensor, rank: float) -> Tensor:
    """Row quantiles of (K, n) by sorting: torch.quantile refuses more than 16 million values."""
    ordered = values.sort(dim=1).values
    return ordered[:, round(rank * (ordered.shape[1] - 1))]
