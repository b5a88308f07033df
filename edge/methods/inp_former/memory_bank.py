"""What good parts look like, kept as vectors and searched inside the graph.

Two memories on the same unit tokens: `MemoryBank` knows what occurs anywhere (MultiADS's few-shot
bank and PatchCore's coreset, section 7 of the MultiADS spec), `PositionStatistics` what occurs
where
(PaDiM). The first serves parts in free pose, the second parts that lie the same way every time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.networks.neighbourhood import Neighbourhood

EPS = 1e-12


class UnitGroups(nn.Module):
    """Bring every group of a token to the same length, and the token to length one.

    As in GroupDistance, sums over groups are products with an indicator matrix.

    Args:
        groups: (C, G), the same tensor as GroupDistance's: the graph then sums squares once.
    """

    groups: Tensor

    def __init__(self, groups: Tensor):
        super().__init__()
        self.register_buffer("groups", groups, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scale (B, N, C) tokens; C holds the groups side by side."""
        count = self.groups.shape[1]
        lengths = ((tokens * tokens) @ self.groups + EPS).rsqrt()
        return tokens * (lengths @ (self.groups.T * count**-0.5))


class MemoryBank(nn.Module):
    """Distance of each token to the nearest of M remembered tokens of good parts.

    Args:
        vectors: M.
        channels: C of a token.
        around: tokens are remembered, and looked for, together with their neighbours.
    """

    bank: Tensor
    ones: Tensor

    def __init__(self, vectors: int, channels: int, around: Neighbourhood):
        super().__init__()
        self.around = around
        self.register_buffer("bank", torch.zeros(vectors, channels))
        self.register_buffer("ones", torch.ones(channels, 1), persistent=False)

    def seen(self, tokens: Tensor) -> Tensor:
        """What is remembered of unit tokens (B, N, C): the means around them, of length one."""
        if self.around.side == 1:
            return tokens
        mean = self.around(tokens)
        return mean * self._to_unit(mean)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map unit tokens (B, N, C) to Euclidean distances (B, N), 0..2."""
        mean = self.around(tokens)
        nearest = (mean @ self.bank.T).amax(-1, keepdim=True)
        if self.around.side > 1:
            # As with what is `seen`, at one product a token.
            nearest = nearest * self._to_unit(mean)
        return (2 - 2 * nearest).clamp_min(0).sqrt()[..., 0]

    def _to_unit(self, tokens: Tensor) -> Tensor:
        """1 / length of (B, N, C) tokens, (B, N, 1); as a product, see GroupDistance."""
        return ((tokens * tokens) @ self.ones + EPS).rsqrt()


class PositionStatistics(nn.Module):
    """Mahalanobis distance of each token to the good tokens at the same place of the frame.

    Tokens are projected to their d strongest principal components first.
    """

    basis: Tensor
    mean: Tensor
    whiten: Tensor

    def __init__(self, positions: int, channels: int, dims: int):
        super().__init__()
        self.register_buffer("basis", torch.zeros(channels, dims))
        self.register_buffer("mean", torch.zeros(positions, dims))
        self.register_buffer("whiten", torch.zeros(positions, dims, dims))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map unit tokens (B, N, C) to distances (B, N) in standard deviations over all dims."""
        centred = tokens @ self.basis - self.mean
        # One small matrix per position, with the batch as rows.
        z = centred.transpose(0, 1) @ self.whiten
        return (z * z).sum(-1).sqrt().T
