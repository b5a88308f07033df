"""The network of the fast form: a shorter backbone, one convolutional head, map and score.

Where the full form measures distances in several ways and fuses them, one head has learned the
fused result (see distillation.py). It reads the stages of the same frozen backbone down to the grid
of the run; the deeper ones, which cost a third of the backbone, are left out.

Symbols: B batch, G channels of a stage, K hidden channels, (h, w) cells of the grid.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.method import Network
from edge.networks.anomaly_map import SmoothMap, TopMean
from edge.networks.features import PyramidFeatures, to_grid
from edge.networks.output import NetworkOutput

HIDDEN = 64
Levels = Sequence[Tensor]


@dataclass(frozen=True)
class FastSettings:
    """Shape of a fast form.

    Attributes:
        size_wh: network input, that of the run.
        grid_hw: cells of the head's map.
        map_hw: pixels of the finished map.
        channels: of each stage that is read, finest first.
        factors: cells of each stage per cell of the grid, along one axis.
        top_ratio: share of the cells whose mean is the score.
        image_dims: principal components of the image branch; 0 builds none.
    """

    size_wh: tuple[int, int]
    grid_hw: tuple[int, int]
    map_hw: tuple[int, int]
    channels: tuple[int, ...]
    factors: tuple[int, ...]
    top_ratio: float
    image_dims: int


class FastHead(nn.Module):
    """Map stages of the backbone to two grids: that of the map and that of the score.

    Each stage is brought to the grid by a strided convolution of its own. What the whole frame has
    in common is subtracted by a learned share, as INP-Former's centring does it.

    Attributes:
        place: (1, K, h, w), what is added at each cell: what is ordinary in one place of a part may
            be a defect in another.
    """

    place: Tensor

    def __init__(self, settings: FastSettings):
        super().__init__()
        self.entries = nn.ModuleList(
            nn.Conv2d(channels, HIDDEN, 1 if factor == 1 else factor + 1, factor, factor // 2)
            for channels, factor in zip(settings.channels, settings.factors, strict=True)
        )
        self.common = nn.Conv2d(HIDDEN, HIDDEN, 1)
        self.near = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.wide = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.out = nn.Conv2d(HIDDEN, 2, 1)
        self.register_buffer("place", torch.zeros(1, HIDDEN, *settings.grid_hw))

    def forward(self, levels: Levels, place: Tensor | None = None) -> Tensor:
        """Map (B, G, H, W) of each stage to (B, 2, h, w); `place` stands in for the buffer."""
        read = [entry(level) for entry, level in zip(self.entries, levels, strict=True)]
        x = read[0]
        for other in read[1:]:
            x = x + other
        x = x + self.common(x.mean((2, 3), keepdim=True))
        x = F.relu(x + (self.place if place is None else place))
        x = x + F.relu(self.near(x))
        grids: Tensor = self.out(F.relu(self.wide(x)))
        return grids


class FastDetector(Network):
    """Normalisation, the first stages of the backbone, head, map and score.

    Args:
        settings: of the fast form.
        features: of the run; the backbone is cut behind the last stage that is read.
    """

    mean: Tensor
    std: Tensor
    score_offset: Tensor

    def __init__(self, settings: FastSettings, features: PyramidFeatures):
        super().__init__()
        self.settings = settings
        backbone = copy.deepcopy(features.backbone)
        backbone.taps = backbone.taps[: len(settings.channels)]
        backbone.stages = backbone.stages[: backbone.taps[-1] + 1]
        self.backbone = backbone
        self.head = FastHead(settings)
        self.image: ImageStatistics | None = None
        if settings.image_dims:
            self.image = ImageStatistics(sum(settings.channels), settings.image_dims)
        self.smooth = SmoothMap(settings.grid_hw, settings.map_hw)
        self.top = TopMean(settings.top_ratio, settings.grid_hw[0] * settings.grid_hw[1])
        self.register_buffer("score_offset", torch.zeros(()))
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def normalised(self, frames: Tensor) -> Tensor:
        """What the backbone takes of (B, H, W, 3) uint8 RGB frames."""
        return (frames.float().permute(0, 3, 1, 2) - self.mean) / self.std

    def levels(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Stages (B, G, H, W) of (B, H, W, 3) uint8 RGB frames."""
        found: tuple[Tensor, ...] = self.backbone(self.normalised(frames))
        return found

    def tokens(self, levels: Levels) -> Tensor:
        """All stages side by side on the grid, (B, h w, sum of G): what the image branch reads."""
        grids = [to_grid(level, self.settings.grid_hw) for level in levels]
        return torch.cat(grids, 1).flatten(2).mT

    def map_score(self, levels: Levels) -> Tensor:
        """The score of the head alone, (B,), without the image branch."""
        return self.top(self.head(levels)[:, 1:]) + self.score_offset

    def judge(self, levels: Levels) -> NetworkOutput:
        """Turn stages into map (B, H', W') and score (B,)."""
        for_map, for_score = self.head(levels).split(1, 1)
        score: Tensor = self.top(for_score) + self.score_offset
        if self.image is not None:
            offset, slope = self.image.rescale
            score = torch.maximum(score, offset + slope * self.image(self.tokens(levels)))
        return NetworkOutput(self.smooth(for_map), score)

    def forward(self, frames: Tensor) -> NetworkOutput:
        """Map (B, H, W, 3) uint8 RGB frames of the network's size to map and score."""
        return self.judge(self.levels(frames))
