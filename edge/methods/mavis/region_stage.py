"""MAVIS' region stage: what a box shows, or that it is a false alarm.

It reads the tokens around a box with prompts that know where it is. Names and roles are the
paper's, forms and numbers are ours (docs/methods.md).

Symbols: B pictures, N tokens on an h x w grid, R regions per picture, Q queries per region, D text
width, K types. Row 0 of a bank is normal, row 0 of region logits false alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of the region head, as in CLIP.
TEMPERATURE = 0.07
OCTAVES = 16
# Floor of the anomaly level whose logarithm guides the attention.
GUIDE_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class RegionShape:
    """Sizes of the region stage: about 2.6 M parameters with these."""

    tokens: int = 768
    text: int = 768
    width: int = 256
    queries: int = 8
    blocks: int = 2
    heads: int = 8


class RegionStage(nn.Module):
    """Region-aware prompt learner and region head (sections 5 and 6 of the method's spec).

    Attributes:
        beta: weight of the anomaly map in the cross-attention; 0 removes the guidance.
        false_alarm: (D,) what regions of good surface are compared with.
    """

    def __init__(self, shape: RegionShape):
        super().__init__()
        width = shape.width
        self.position = nn.Sequential(
            nn.Linear(8 * OCTAVES, width), nn.GELU(), nn.Linear(width, width)
        )
        self.queries = nn.Parameter(0.02 * torch.randn(shape.queries, width))
        self.context = nn.Linear(shape.tokens, width)
        self.blocks = nn.ModuleList(RegionBlock(width, shape.heads) for _ in range(shape.blocks))
        self.beta = nn.Parameter(torch.ones(()))
        self.head = nn.Linear(width, shape.text)
        self.false_alarm = nn.Parameter(torch.randn(shape.text))

    def forward(
        self, tokens: Tensor, anomaly: Tensor, boxes: Tensor, prototypes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Judge the regions of every picture.

        Args:
            tokens: (B, N, C) adapted tokens, mean of the levels.
            anomaly: (B, h, w) calibrated map in 0..1, h w = N.
            boxes: (B, R, 4) x1, y1, x2, y2 in 0..1, of positive area; R may be 0.
            prototypes: (K, D) unit rows of the types, or (B, K, D).

        Returns:
            Logits (B, R, 1 + K), row 0 false alarm, and the regions' unit vectors (B, R, D).
        """
        vectors = self.vectors(tokens, anomaly, boxes)
        types = vectors @ prototypes.mT
        alarm = vectors @ F.normalize(self.false_alarm, dim=0)
        return torch.cat([alarm.unsqueeze(-1), types], -1) / TEMPERATURE, vectors

    def vectors(self, tokens: Tensor, anomaly: Tensor, boxes: Tensor) -> Tensor:
        """Unit vectors (B, R, D) of regions; arguments as in `forward`."""
        grid_hw = (anomaly.shape[1], anomaly.shape[2])
        place = sine_places(grid_hw, self.context.out_features).to(tokens)
        context = self.context(tokens) + place
        guide = self.beta * (GUIDE_FLOOR + anomaly.flatten(1)).log()
        bias = guide.unsqueeze(1).masked_fill(~inside(boxes, grid_hw), -math.inf)
        queries = self.queries + self.position(fourier(boxes)).unsqueeze(-2)
        for block in self.blocks:
            queries = block(queries, context, bias)
        return F.normalize(self.head(queries.mean(-2)), dim=-1)


class RegionBlock(nn.Module):
    """Guided cross-attention to the picture, self-attention among a region's queries, MLP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.among = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, queries: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        """Map queries (B, R, Q, d), context (B, N, d) and bias (B, R, N) to (B, R, Q, d)."""
        everywhere = context.unsqueeze(1).expand(-1, queries.shape[1], -1, -1)
        first, second, third = self.norms
        queries = queries + self._attend(
            self.cross, first(queries), everywhere, bias[:, :, None, None]
        )
        normed = second(queries)
        queries = queries + self._attend(self.among, normed, normed, None)
        return queries + self.mlp(third(queries))

    def _attend(
        self, layers: nn.ModuleList, queries: Tensor, keys: Tensor, bias: Tensor | None
    ) -> Tensor:
        to_q, to_k, to_v, to_out = layers

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)  # (B, R, heads, ., d / h)

        q, k, v = split(to_q(queries)), split(to_k(keys)), split(to_v(keys))
        logits = q @ k.mT / q.shape[-1] ** 0.5
        if bias is not None:
            logits = logits + bias
        return to_out((logits.softmax(-1) @ v).transpose(-2, -3).flatten(-2))


def fourier(boxes: Tensor) -> Tensor:
    """Sines and cosines of four coordinates at 16 octaves: (..., 4) to (..., 128)."""
    frequencies = math.pi * 2.0 ** torch.arange(OCTAVES, device=boxes.device)
    angles = boxes.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


def inside(boxes: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Which cells a box touches: (B, R, 4) in 0..1 to (B, R, h w) bool, at least one cell each."""
    columns, rows = (
        (torch.arange(count, device=boxes.device), count) for count in (grid_hw[1], grid_hw[0])
    )

    def touched(axis: tuple[Tensor, int], low: Tensor, high: Tensor) -> Tensor:
        # Rounding may not let a padded cell in: a box ends where its last cell does.
        index, count = axis
        first = (low * count + 1e-3).floor().clamp(0, count - 1)
        last = (high * count - 1e-3).ceil().sub(1).maximum(first)
        return (index >= first.unsqueeze(-1)) & (index <= last.unsqueeze(-1))

    x1, y1, x2, y2 = boxes.unbind(-1)
    return (touched(rows, y1, y2).unsqueeze(-1) & touched(columns, x1, x2).unsqueeze(-2)).flatten(
        -2
    )


def sine_places(grid_hw: tuple[int, int], width: int) -> Tensor:
    """Fixed 2-D positions, (h w, width): half of the channels for rows, half for columns."""
    quarter = width // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    angles = [torch.arange(count).unsqueeze(1) * frequencies for count in grid_hw]
    rows, columns = (torch.cat([angle.sin(), angle.cos()], -1) for angle in angles)
    grid = (*grid_hw, -1)
    both = [rows.unsqueeze(1).expand(grid), columns.unsqueeze(0).expand(grid)]
    return torch.cat(both, -1).flatten(0, 1)
