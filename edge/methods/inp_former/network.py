"""INP-Former: rebuild a picture's features from prototypes of its own normal content.

"Exploring Intrinsic Normal Prototypes within a Single Image for Universal Anomaly Detection",
CVPR 2025. Equations and section numbers below are the paper's; where the published code and the
paper differ, the code is followed and the difference is said.

Symbols: B batch, N patch tokens, D width, M prototypes (INPs), h heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.features import mean_of

# The published 1e-8 is below the smallest half-precision subnormal and would become 0 there.
LAYER_NORM_EPS = 1e-6
UNIT_EPS = 1e-12


@dataclass(frozen=True)
class InpFormerSettings:
    """Shape of the trainable part.

    Attributes:
        channels: channels of each target group, shallow first.
        merge: how the groups become the tokens that the network reads: their mean (transformer
            backbones, all groups as wide as D) or their concatenation (feature pyramids).
        width: D; for `mean` it must equal the groups' channels.
        prototypes: M; 4 to 8 are equally good, fewer is unstable, more absorb defects.
        depth: decoder blocks, shared out evenly over the groups.
        heads: attention heads; D must be a multiple.
        mlp_ratio: hidden width of every MLP in units of D.
        norm_eps: of every LayerNorm. Bottleneck outputs are small: with published weights the
            difference between 1e-8 and 1e-6 shows in the fourth digit.
    """

    channels: tuple[int, ...]
    merge: Literal["mean", "concat"]
    width: int
    prototypes: int = 6
    depth: int = 8
    heads: int = 6
    mlp_ratio: int = 4
    norm_eps: float = LAYER_NORM_EPS

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.depth < len(self.channels):
            raise ValueError(f"depth {self.depth} is below the {len(self.channels)} groups")
        if self.merge == "mean" and set(self.channels) != {self.width}:
            raise ValueError(f"merge=mean needs groups of width {self.width}, got {self.channels}")


class Reconstruction(NamedTuple):
    """What the network makes of one batch.

    Attributes:
        groups: rebuilt features, one (B, N, C_g) per target group.
        prototypes: (B, M, D).
        distance: (B, N) cosine distance of each token to its nearest prototype, 0..2. In itself
            the zero-shot map; its mean is the coherence loss.
    """

    groups: tuple[Tensor, ...]
    prototypes: Tensor
    distance: Tensor


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine similarity over the last axis, 0..2; zero vectors count as orthogonal."""
    return 1 - (unit(a) * unit(b)).sum(-1)


def unit(x: Tensor) -> Tensor:
    """Scale the last axis to length one; three nodes in the exported graph."""
    return x / (x.square().sum(-1, keepdim=True) + UNIT_EPS).sqrt()


class Mlp(nn.Sequential):
    """Linear, GELU, Linear; D -> ratio x D -> D."""

    def __init__(self, width: int, ratio: int):
        super().__init__(
            nn.Linear(width, width * ratio), nn.GELU(), nn.Linear(width * ratio, width)
        )


class PrototypeExtractor(nn.Module):
    """Cross-attention block that condenses N tokens into M prototypes (section 3.2).

    One LayerNorm serves queries and context alike; both residuals are present.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int, norm_eps: float = LAYER_NORM_EPS):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, prototypes: Tensor, tokens: Tensor) -> Tensor:
        """Map learnable (B, M, D) and tokens (B, N, D) to the picture's prototypes (B, M, D)."""
        query = _split_heads(self.query(self.norm1(prototypes)), self.heads)
        key, value = self.key_value(self.norm1(tokens)).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            query, _split_heads(key, self.heads), _split_heads(value, self.heads)
        )
        x = prototypes + self.project(_join_heads(attended))
        return x + self.mlp(self.norm2(x))


class HeadsApart(nn.Module):
    """Attention heads side by side in one product, so that N tokens are never turned by head.

    Of M rows, which are few, each head gets a copy that is zero in the columns of the others.
    """

    own: Tensor

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.depth = width // heads
        own = torch.eye(heads).repeat_interleave(self.depth, 1).unsqueeze(1)
        self.register_buffer("own", own, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Copy (B, M, D) for every head, (B, h, M, D)."""
        return x.unsqueeze(1) * self.own

    def lengths(self, x: Tensor, rows: int) -> Tensor:
        """Length of every head's part of tokens (B, N, D), repeated for each row: (B, hM, N)."""
        # Mean before root: a sum of squares comes closer to the end of half precision.
        mean = self.own.expand(-1, rows, -1).flatten(0, 1) / self.depth
        return ((mean @ x.square().mT + UNIT_EPS) * self.depth).sqrt()


class GuidedDecoderBlock(nn.Module):
    """Decoder block whose output comes from the prototypes alone (section 3.3).

    Attention weights are ReLU(s_head * cosine(q, k)): no softmax, no row normalisation. The paper
    prints ReLU(QK^T); normalised queries and keys and the learned scale are the code's. The first
    residual is absent, so a defect token cannot slip past the attention; the second is kept.

    The projection behind the attention is linear, so that it is done to M values a head instead of
    N tokens.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int, norm_eps: float = LAYER_NORM_EPS):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.scale = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Linear(width, width)
        self.mlp = Mlp(width, mlp_ratio)
        self.apart = HeadsApart(width, heads)

    def attention(self, x: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the non-negative weights (B, hM, N) and the values (B, hM, D), head by head.

        Values of a head are zero in the columns of the others.
        """
        query = self.query(self.norm1(x))
        key, value = self.key_value(self.norm1(prototypes)).chunk(2, dim=-1)
        key = (self.scale * unit(self.apart(key))).flatten(1, 2)
        weights = F.relu(key @ query.mT / self.apart.lengths(query, prototypes.shape[1]))
        return weights, self.apart(value).flatten(1, 2)

    def forward(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """Map tokens (B, N, D) and prototypes (B, M, D) to tokens (B, N, D)."""
        weights, value = self.attention(x, prototypes)
        x = weights.mT @ (value @ self.project.weight.mT) + self.project.bias
        return x + self.mlp(self.norm2(x))


class InpFormer(nn.Module):
    """Prototype extractor, bottleneck and INP-guided decoder over frozen features."""

    def __init__(self, settings: InpFormerSettings):
        super().__init__()
        self.settings = settings
        width, heads, ratio = settings.width, settings.heads, settings.mlp_ratio
        eps = settings.norm_eps
        self.enter: nn.Module = nn.Identity()
        self.leave = nn.ModuleList()
        if settings.merge == "concat":
            self.enter = nn.Linear(sum(settings.channels), width)
            self.leave = nn.ModuleList(nn.Linear(width, c) for c in settings.channels)
        self.extractor = PrototypeExtractor(width, heads, ratio, eps)
        self.bottleneck = Mlp(width, ratio)
        self.decoder = nn.ModuleList(
            GuidedDecoderBlock(width, heads, ratio, eps) for _ in range(settings.depth)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
                nn.init.zeros_(module.bias)
        if isinstance(self.enter, nn.Linear):
            nn.init.orthogonal_(self.enter.weight)
        # Left out of the common initialisation on purpose: N(0, 1), as published.
        self.prototypes = nn.Parameter(torch.randn(settings.prototypes, width))

    def read(self, groups: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Merge frozen groups (B, N, C_g) into tokens (B, N, D) and find their prototypes."""
        if self.settings.merge == "concat":
            tokens = self.enter(torch.cat(groups, dim=-1))
        else:
            tokens = mean_of(groups)
        learned = self.prototypes.expand(tokens.shape[0], -1, -1)
        return tokens, self.extractor(learned, tokens)

    def rebuild(self, tokens: Tensor, prototypes: Tensor) -> tuple[Tensor, ...]:
        """Decode tokens (B, N, D) from the prototypes into one (B, N, C_g) per group.

        The last blocks rebuild the shallowest group. Every token is decoded on its own, so any
        subset of tokens may be passed.
        """
        x = self.bottleneck(tokens)
        outputs = []
        for block in self.decoder:
            x = block(x, prototypes)
            outputs.append(x)
        outputs.reverse()
        count = len(self.settings.channels)
        bounds = [round(i * len(outputs) / count) for i in range(count + 1)]
        means = [mean_of(outputs[a:b]) for a, b in pairwise(bounds)]
        if self.settings.merge == "concat":
            return tuple(leave(mean) for leave, mean in zip(self.leave, means))
        return tuple(means)

    def forward(self, groups: tuple[Tensor, ...]) -> Reconstruction:
        """Rebuild the frozen features `groups`, (B, N, C_g) each."""
        tokens, prototypes = self.read(groups)
        return Reconstruction(
            self.rebuild(tokens, prototypes),
            prototypes,
            prototype_distance(tokens, prototypes),
        )


def prototype_distance(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine distance of each token (B, N, D) to its nearest prototype (B, M, D): (B, N), eq. 4.

    The tokens are detached: they stand for frozen features, so the coherence loss may move the
    prototypes only.
    """
    similarity = unit(tokens.detach()) @ unit(prototypes).mT
    return 1 - similarity.amax(dim=-1)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    batch, count, width = x.shape
    return x.reshape(batch, count, heads, width // heads).transpose(1, 2)


def _join_heads(x: Tensor) -> Tensor:
    batch, heads, count, depth = x.shape
    return x.transpose(1, 2).reshape(batch, count, heads * depth)
