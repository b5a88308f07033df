"""A few vectors that stand for many."""

from __future__ import annotations

import torch
from torch import Tensor

PROJECTION = 32


def coreset(vectors: Tensor, count: int, seed: int) -> Tensor:
    """Pick `count` of (n, C) vectors by the greedy k-centre rule (PatchCore, algorithm 1).

    Distances are measured in a random projection to 32 dimensions, as in the paper.
    """
    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(vectors.shape[1], PROJECTION, generator=generator)
    points = vectors @ projection
    squared = (points * points).sum(1)
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < min(count, len(points)):
        latest = points[chosen[-1]]
        nearest = torch.minimum(nearest, squared - 2 * (points @ latest) + latest @ latest)
        chosen.append(int(nearest.argmax()))
    return vectors[chosen]
