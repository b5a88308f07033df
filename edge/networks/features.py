"""Frozen backbones as patch features: groups of tokens on one common grid.

Every preset gives the same thing to the methods above it: a tuple of groups, (B, N, C_g) each,
shallow first, on a grid of `grid_hw` cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.backbones.dinov2 import DinoV2, VitShape
from edge.networks.backbones.efficientnet_lite import STAGE_STRIDES, EfficientNetLite
from edge.networks.backbones.settings import PyramidSettings, VitSettings

Groups = tuple[Tensor, ...]


class PyramidFeatures(nn.Module):
    """Stages of a convolutional backbone, one group each, brought to the grid of `stride`.

    Finer stages are averaged down, coarser ones interpolated up. `rms`, the root mean square of
    each group over training pictures, brings the groups to a common scale.
    """

    rms: Tensor

    def __init__(self, backbone: EfficientNetLite, stride: int, size_wh: tuple[int, int]):
        super().__init__()
        self.backbone = backbone
        self.grid_hw = (size_wh[1] // stride, size_wh[0] // stride)
        self.channels = backbone.channels
        self.register_buffer("rms", torch.ones(len(self.channels)))
        coarsest = max(stride, *(STAGE_STRIDES[tap] for tap in backbone.taps))
        if size_wh[0] % coarsest or size_wh[1] % coarsest:
            raise ValueError(f"size_wh: expected multiples of {coarsest}, got {size_wh}")

    @torch.no_grad()
    def set_scale(self, mean_squares: Tensor) -> None:
        """Take (G,) mean squares of the groups over training pictures, measured at `rms` 1."""
        self.rms.copy_(mean_squares.sqrt().clamp_min(1e-6))

    def forward(self, image: Tensor) -> Groups:
        """Map a normalised (B, 3, H, W) image to groups (B, N, C_g)."""
        return self.tokens(self.backbone(image))

    def tokens(self, levels: tuple[Tensor, ...]) -> Groups:
        """Bring the backbone's stage outputs (B, C_g, H_g, W_g) to the grid: (B, N, C_g) each."""
        groups = []
        for index, level in enumerate(levels):
            tokens = to_grid(level, self.grid_hw).flatten(2).transpose(1, 2)
            groups.append(tokens / self.rms[index])
        return tuple(groups)


class VitFeatures(nn.Module):
    """Blocks of a vision transformer, averaged in consecutive groups of equal size."""

    def __init__(self, backbone: DinoV2, groups: int):
        super().__init__()
        if len(backbone.taps) % groups:
            raise ValueError(f"{len(backbone.taps)} taps do not form {groups} equal groups")
        self.backbone = backbone
        self.grid_hw = backbone.grid_hw
        self.channels = (backbone.shape.width,) * groups

    def forward(self, image: Tensor) -> Groups:
        """Map a normalised (B, 3, H, W) image to groups (B, N, D)."""
        taps = self.backbone(image)
        size = len(taps) // len(self.channels)
        return tuple(mean_of(taps[start : start + size]) for start in range(0, len(taps), size))


Features = PyramidFeatures | VitFeatures


def build_features(backbone: PyramidSettings | VitSettings, size_wh: tuple[int, int]) -> Features:
    """Build a backbone at a network size, with weights still to be loaded."""
    if isinstance(backbone, PyramidSettings):
        network = EfficientNetLite(backbone.name, backbone.taps)
        return PyramidFeatures(network, backbone.stride, size_wh)
    grid_hw = (size_wh[1] // backbone.patch, size_wh[0] // backbone.patch)
    shape = VitShape(**backbone.model_dump(exclude={"name", "taps", "groups"}))
    return VitFeatures(DinoV2(shape, backbone.taps, grid_hw), backbone.groups)


def to_grid(level: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Average (B, C, H, W) down, or interpolate it up, to (B, C, h, w)."""
    factor = level.shape[-1] // grid_hw[1]
    if factor > 1:
        return F.avg_pool2d(level, factor)
    if level.shape[-1] < grid_hw[1]:
        return F.interpolate(level, size=grid_hw, mode="bilinear", align_corners=False)
    return level


def mean_of(tensors: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """Elementwise mean of equally shaped tensors; a single one costs nothing in the graph."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total / len(tensors) if len(tensors) > 1 else total
