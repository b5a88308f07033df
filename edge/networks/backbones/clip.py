"""CLIP's transformers, written out plainly so that the image tower exports cleanly.

Same arithmetic as the towers of `transformers` and of OpenAI's release, whose weights they take
(edge.networks.clip_weights). Positions are resized once, when the network is built for its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.backbones.taps import check_taps

LAYER_NORM_EPS = 1e-5
Activation = Literal["quick_gelu", "gelu"]


@dataclass(frozen=True)
class ClipShape:
    """Widths and counts of the image tower.

    Attributes:
        projection: width of the space shared with the text tower.
        activation: OpenAI's weights need quick_gelu, most others gelu.
        position_grid: side of the square grid that the stored positions belong to.
    """

    width: int
    depth: int
    heads: int
    patch: int
    projection: int
    position_grid: int
    mlp_ratio: int = 4
    activation: Activation = "quick_gelu"


CLIP_SHAPES = {
    "ViT-B/16": ClipShape(768, 12, 12, 16, 512, 14),
    "ViT-L/14-336": ClipShape(1024, 24, 16, 14, 768, 24),
}


class ClipBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: int = 4,
        activation: Activation = "quick_gelu",
    ):
        super().__init__()
        self.heads, self.activation = heads, activation
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(width, width * mlp_ratio)
        self.fc2 = nn.Linear(width * mlp_ratio, width)

    def forward(self, x: Tensor, *, causal: bool = False) -> Tensor:
        """Map (B, T, D) to (B, T, D); `causal` lets a token see itself and what precedes it."""
        batch, count, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        x = x + self.proj(attended.transpose(1, 2).reshape(batch, count, width))
        hidden = self.fc1(self.norm2(x))
        if self.activation == "quick_gelu":
            hidden = hidden * torch.sigmoid(1.702 * hidden)
        else:
            hidden = F.gelu(hidden)
        return x + self.fc2(hidden)


class ClipTokens(NamedTuple):
    """What the image tower sees.

    Attributes:
        levels: raw patch tokens (no norm, no projection) after each tapped block, (B, N, D) each.
        image: (B, P) projected class token, unit length.
    """

    levels: tuple[Tensor, ...]
    image: Tensor


class LayerTokens(nn.Module):
    """Learned tokens in every layer of a transformer, right after its first token (DAPO section 3).

    "Progressive": what a layer made of its tokens joins those of the next with a share of `blend`.
    """

    def __init__(self, depth: int, count: int, width: int, blend: float):
        super().__init__()
        self.count, self.blend = count, blend
        self.tokens = nn.Parameter(torch.zeros(depth, count, width))

    def forward(self, x: Tensor, layer: int) -> Tensor:
        """Prepare (B, T, D) for a layer: 0 gets the tokens inserted, others have theirs renewed."""
        own = self.tokens[layer].expand(len(x), -1, -1)
        if layer == 0:
            return torch.cat([x[:, :1], own, x[:, 1:]], 1)
        renewed = self.blend * x[:, 1 : 1 + self.count] + (1 - self.blend) * own
        return torch.cat([x[:, :1], renewed, x[:, 1 + self.count :]], 1)


class ClipVision(nn.Module):
    """CLIP's image tower.

    Args:
        shape: see ClipShape.
        taps: block indices counted from 0, ascending; all blocks are built, for the class token.
        grid_hw: patch rows and columns of the input that the network is built for.
    """

    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, shape: ClipShape, taps: tuple[int, ...], grid_hw: tuple[int, int]):
        super().__init__()
        check_taps(taps, shape.depth)
        self.shape, self.taps, self.grid_hw = shape, taps, grid_hw
        width = shape.width
        self.patch_embed = nn.Conv2d(3, width, shape.patch, shape.patch, bias=False)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        # Position of the class token, then of each patch, already at this grid.
        self.positions = nn.Parameter(torch.zeros(1, 1 + grid_hw[0] * grid_hw[1], width))
        self.pre_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(
            ClipBlock(width, shape.heads, shape.mlp_ratio, shape.activation)
            for _ in range(shape.depth)
        )
        self.post_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.projection = nn.Linear(width, shape.projection, bias=False)
        for token in (self.class_token, self.positions):
            nn.init.trunc_normal_(token, std=0.02)

    def forward(self, image: Tensor) -> ClipTokens:
        """Map a normalised (B, 3, H, W) image to tokens and image vector."""
        return self.encode(self.embed(image))

    def embed(self, image: Tensor) -> Tensor:
        """What enters the first block, (B, 1 + N, D): class token, then patches."""
        patches = self.patch_embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(image.shape[0], -1, -1), patches], 1)
        return self.pre_norm(x + self.positions)

    def encode(self, x: Tensor, extra: LayerTokens | None = None) -> ClipTokens:
        """Run all blocks on (B, 1 + N, D), with `extra` tokens in each; outputs lack those."""
        first = 1 if extra is None else 1 + extra.count
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x if extra is None else extra(x, index))
            if index in self.taps:
                levels.append(x[:, first:])
        projected = self.projection(self.post_norm(x[:, 0]))
        return ClipTokens(tuple(levels), F.normalize(projected, dim=-1))


def resize_positions(table: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Resize a (1, 1 + G*G, D) position table to (1, 1 + h*w, D): bicubic, as `transformers`."""
    side = round((table.shape[1] - 1) ** 0.5)
    if (side, side) == grid_hw:
        return table
    patches = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    resized = F.interpolate(patches, size=grid_hw, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
