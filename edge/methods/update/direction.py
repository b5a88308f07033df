"""A direction in the frozen features that tells reviewed defects from good parts.

Ridge regression of 1 for cells of defects and -1 for good ones, in closed form. The good cells are
known by their moments, so a fit costs one linear system however many pictures there are, and each
review can be judged by a fit without its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from edge.methods.inp_former.defect_probe import DefectProbe

# Beside the scatter of standardised cells of length one. Few reviews leave their own mean as the
# direction; the more there are, the more their scatter says.
RIDGE = 1e-2
# Weight of false rejects together among the good cells.
REJECTS_SHARE = 0.2


class Cells(NamedTuple):
    """Cells of one picture: what a probe takes, (n, C) float32, and their weights (n,), sum 1."""

    values: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class GoodCells:
    """What cells of good parts look like.

    Attributes:
        mean: (C,) float64.
        scatter: (C, C) float64 mean of the products of two channels.
    """

    mean: Tensor
    scatter: Tensor

    @property
    def scale(self) -> Tensor:
        """(C,) by which cells are brought to unit length on average."""
        spread = (self.scatter.diagonal() - self.mean**2).clamp_min(0).sqrt()
        return spread.clamp_min(1e-6) * len(self.mean) ** 0.5


def good_cells_of(pictures: Iterable[Cells]) -> GoodCells:
    """The moments of at least one picture; all pictures weigh alike."""
    means, scatter = [], torch.zeros((), dtype=torch.float64)
    for values, weights in pictures:
        weighted = values * weights.unsqueeze(1)
        means.append(weighted.sum(0).double())
        scatter = scatter + (weighted.T @ values).double()
    return GoodCells(torch.stack(means).mean(0), scatter / len(means))


def fit_direction(
    probe: DefectProbe, good: GoodCells, defects: Sequence[Cells], rejects: Sequence[Cells]
) -> DefectProbe:
    """A probe of one kind, 0 on the mean of the good cells.

    Args:
        probe: of the same shape.
        good: cells of good parts.
        defects: at least one picture with a defect.
        rejects: false rejects, where they had been rejected.
    """
    scale = good.scale
    mean, scatter = good.mean / scale, good.scatter / torch.outer(scale, scale)
    if rejects:
        own_mean, own_scatter = _moments(rejects, scale)
        mean = (1 - REJECTS_SHARE) * mean + REJECTS_SHARE * own_mean
        scatter = (1 - REJECTS_SHARE) * scatter + REJECTS_SHARE * own_scatter
    shown, shown_scatter = _moments(defects, scale)
    # Both kinds weigh alike, however many cells there are of each.
    centre = (mean + shown) / 2
    system = ((scatter + shown_scatter) / 2 - torch.outer(centre, centre)).float()
    factor = torch.linalg.cholesky(system + RIDGE * torch.eye(len(centre)))
    towards = ((shown - mean) / 2).float().unsqueeze(1)
    weight = torch.cholesky_solve(towards, factor) / scale.float().unsqueeze(1)
    return probe.fitted(weight, -(good.mean.float() @ weight))


def _moments(pictures: Sequence[Cells], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and scatter (C, C) of the scaled cells of pictures that weigh alike."""
    values = torch.cat([each.values for each in pictures]).double() / scale
    weights = torch.cat([each.weights for each in pictures]).double() / len(pictures)
    weighted = values * weights.unsqueeze(1)
    return weighted.sum(0), weighted.T @ values
