"""Distances from good tokens, searched inside the graph.

Both scorers read the same unit tokens. `MemoryBank` holds tokens that occur anywhere on good parts
(MultiADS's few-shot bank and PatchCore's coreset, section 7 of the MultiADS spec), for parts in
free pose. `PositionStatistics` describes the tokens at each position (PaDiM), for parts that always
lie the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.networks.neighbourhood import Neighbourhood

EPS = 1e-12


class UnitGroups(nn.Module):
    """Scale every group of a token to the same length, and the token to length one.

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
    """Euclidean distance of each token to the nearest token in the bank.

    Args:
        bank: (M, C) aggregated tokens of good parts, see `aggregated`.
        neighbourhood: cells over which tokens are averaged before they are compared.
    """

    bank: Tensor
    ones: Tensor

    def __init__(self, bank: Tensor, neighbourhood: Neighbourhood):
        super().__init__()
        self.neighbourhood = neighbourhood
        self.register_buffer("bank", bank)
        self.register_buffer("ones", torch.ones(bank.shape[1], 1), persistent=False)

    @classmethod
    def empty(cls, vectors: int, channels: int, neighbourhood: Neighbourhood) -> MemoryBank:
        """Return a bank of `vectors` zeros, to be loaded or fitted."""
        return cls(torch.zeros(vectors, channels), neighbourhood)

    def aggregated(self, tokens: Tensor) -> Tensor:
        """Mean of unit tokens (B, N, C) over each neighbourhood, scaled to length one."""
        if self.neighbourhood.side == 1:
            return tokens
        mean = self.neighbourhood(tokens)
        return mean * self._inverse_length(mean)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map unit tokens (B, N, C) to distances (B, N), 0..2."""
        mean = self.neighbourhood(tokens)
        nearest = (mean @ self.bank.T).amax(-1, keepdim=True)
        if self.neighbourhood.side > 1:
            # The same as with `aggregated` tokens, at one product a token.
            nearest = nearest * self._inverse_length(mean)
        return (2 - 2 * nearest).clamp_min(0).sqrt()[..., 0]

    def _inverse_length(self, tokens: Tensor) -> Tensor:
        """1 / length of (B, N, C) tokens, (B, N, 1); as a product, see GroupDistance."""
        return ((tokens * tokens) @ self.ones + EPS).rsqrt()


class PositionStatistics(nn.Module):
    """Mahalanobis distance of each token to the good tokens at the same position.

    Args:
        basis: (C, d) principal components onto which tokens are projected first.
        mean: (N, d) mean of the projected good tokens at each position.
        whiten: (N, d, d) matrix at each position that whitens them, applied from the right.
    """

    basis: Tensor
    mean: Tensor
    whiten: Tensor

    def __init__(self, basis: Tensor, mean: Tensor, whiten: Tensor):
        super().__init__()
        self.register_buffer("basis", basis)
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)

    @classmethod
    def empty(cls, positions: int, channels: int, dims: int) -> PositionStatistics:
        """Return statistics of zeros, to be loaded or fitted."""
        return cls(
            torch.zeros(channels, dims),
            torch.zeros(positions, dims),
            torch.zeros(positions, dims, dims),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map unit tokens (B, N, C) to distances (B, N) in standard deviations over all dims."""
        centred = tokens @ self.basis - self.mean
        # One small matrix per position, with the batch as rows.
        z = centred.transpose(0, 1) @ self.whiten
        return (z * z).sum(-1).sqrt().T
