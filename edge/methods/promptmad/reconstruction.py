"""Rebuild a picture's features from those of one good picture of the same product, and from text.

The base is OneNIP ("Learning to Detect Multi-class Anomalies with Just One Normal Image Prompt",
ECCV 2024), the text is PromptMAD's (arXiv 2601.22492), whose sources leave the equations open: what
is marked "ours" here is one concrete form of them.

Symbols: B batch, N = h x w grid cells, C feature channels, D width, K defect types.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Added where a token must not look: exp of it is 0 in every precision, and it is no infinity.
HIDDEN = -1e4


def neighbour_mask(grid_hw: tuple[int, int]) -> Tensor:
    """What a token must not see: (N, N) float32, HIDDEN inside its own window, 0 elsewhere.

    The window reaches side // 4 cells from the token in each direction (n // 2 with n = side / 2,
    along each axis of the grid): a defect cannot be copied from itself or from beside itself.
    """
    near = []
    for side in grid_hw:
        place = torch.arange(side)
        near.append((place[:, None] - place[None]).abs() <= (side // 2) // 2)
    rows, columns = near
    inside = rows[:, None, :, None] & columns[None, :, None, :]
    return inside.flatten(2).flatten(0, 1).float() * HIDDEN


class Positions(nn.Module):
    """Learned position of every cell: half of the width says the row, half the column."""

    def __init__(self, grid_hw: tuple[int, int], width: int):
        super().__init__()
        self.rows = nn.Parameter(torch.rand(grid_hw[0], width // 2))
        self.columns = nn.Parameter(torch.rand(grid_hw[1], width - width // 2))

    def forward(self) -> Tensor:
        """Positions (1, N, D)."""
        height, width = len(self.rows), len(self.columns)
        rows = self.rows[:, None].expand(-1, width, -1)
        columns = self.columns[None].expand(height, -1, -1)
        return torch.cat([rows, columns], -1).flatten(0, 1)[None]


class Attention(nn.Module):
    """Multi-head attention; positions go to queries and keys alone, as the caller adds them."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Map (B, N, D) queries over (B, M, D) keys and values to (B, N, D).

        `mask` (N, M) is added to the similarities.
        """
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.project(seen.transpose(1, 2).flatten(2))


class ReluMlp(nn.Sequential):
    """Linear, ReLU, Linear."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )


class EncoderLayer(nn.Module):
    """Self-attention and MLP, normalised afterwards."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.mlp = ReluMlp(width, hidden, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        placed = x + position
        x = self.norm1(x + self.drop(self.attention(placed, placed, x, mask)))
        return self.norm2(x + self.drop(self.mlp(x)))


class TextStep(nn.Module):
    """Let a stream look at the text of the good state, or at a learned nothing (ours).

    The output projection starts at zero. There is no norm of its own: with one, a closed gate would
    still change the stream.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.nothing = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x: Tensor, position: Tensor, good: Tensor) -> Tensor:
        """Map (B, N, D) and the text token (1, 1, D) to (B, N, D)."""
        tokens = torch.cat([good, self.nothing], 1).expand(len(x), -1, -1)
        return x + self.attention(x + position, tokens, tokens)


class BidirectionalLayer(nn.Module):
    """Prompt stream P reads the query stream X, then the text, then X reads P."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, *, text: bool):
        super().__init__()
        self.to_prompt = Attention(width, heads, dropout)
        self.to_query = Attention(width, heads, dropout)
        self.mlp = ReluMlp(width, hidden, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)
        self.text = TextStep(width, heads, dropout) if text else None

    def forward(
        self, p: Tensor, x: Tensor, position: Tensor, mask: Tensor, good: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Map both streams, (B, N, D) each; `good` None leaves the text out."""
        read = self.to_prompt(p + position, x + position, x, mask)
        p = self.norm1(p + self.drop(read))
        p = self.norm2(p + self.drop(self.mlp(p)))
        if self.text is not None and good is not None:
            p = self.text(p, position, good)
        read = self.to_query(x + position, p + position, p, mask)
        return p, self.norm3(x + self.drop(read))


class PromptedReconstruction(nn.Module):
    """Encoder shared by query and prompt, bidirectional decoder; the prompt stream is the output.

    Only the text of the good state takes part: defect text would help to rebuild defects.

    Args:
        channels: C.
        grid_hw: cells.
        width, depth, heads, hidden, dropout, text: see PromptNet.
    """

    mask: Tensor

    def __init__(
        self,
        channels: int,
        grid_hw: tuple[int, int],
        width: int = 256,
        depth: int = 4,
        heads: int = 8,
        hidden: int = 1024,
        dropout: float = 0.1,
        *,
        text: bool = True,
    ):
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.positions = Positions(grid_hw, width)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout) for _ in range(depth)
        )
        self.decoder = nn.ModuleList(
            BidirectionalLayer(width, heads, hidden, dropout, text=text) for _ in range(depth)
        )
        self.last = Attention(width, heads, dropout)
        self.last_norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, channels)
        self.register_buffer("mask", neighbour_mask(grid_hw), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.gate = nn.Parameter(torch.zeros(width)) if text else None
        for module in self.modules():
            if isinstance(module, TextStep):
                nn.init.zeros_(module.attention.project.weight)

    def encode(self, tokens: Tensor) -> Tensor:
        """Encode features (B, N, C) as (B, N, D); of queries and prompts alike."""
        x, position = self.enter(tokens), self.positions()
        for layer in self.encoder:
            x = layer(x, position, self.mask)
        return x

    def decode(self, x: Tensor, prompt: Tensor, good: Tensor | None = None) -> Tensor:
        """Rebuild features (B, N, C) from encoded queries and prompts (B, N, D).

        `good` is the text token of the good state (1, 1, D); None, or every gate at zero, is
        OneNIP.
        """
        p, position = prompt, self.positions()
        if self.gate is not None and good is not None:
            p = p + self.gate * good
        for layer in self.decoder:
            p, x = layer(p, x, position, self.mask, good)
        p = self.last_norm(p + self.last(p + position, x + position, x))
        return self.leave(p)

    def forward(self, tokens: Tensor, prompt: Tensor, good: Tensor | None = None) -> Tensor:
        """Rebuild features (B, N, C) with prompt features (B, N, C)."""
        return self.decode(self.encode(tokens), self.encode(prompt), good)
