"""Branches fitted to few good parts at once, without a training loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.methods.inp_former.branch_fitting import CANDIDATES, fit_memory, principal
from edge.methods.inp_former.branches import MEMORY, POSITION, PROBE
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.instant_features import Pool
from edge.methods.inp_former.memory_bank import MemoryBank, PositionStatistics
from edge.methods.inp_former.probe_fitting import SYNTHETIC_RIDGE, Cells, fit_probe, probe_of

# So many pictures weigh as much in a position's covariance as what all positions have in common.
COMMON_WEIGHT = 20
# Added to the covariance of every position, in units of the mean variance.
RIDGE = 0.12


@torch.no_grad()
def fitted(detector: Detector, pool: Pool, cells: Cells, seed: int) -> Detector:
    """Return the detector with memory bank, position statistics and probe of few good parts."""
    unit = torch.cat([detector.unit_groups(tokens.float()) for tokens in pool.tokens])
    scorers: dict[str, nn.Module] = {}
    if MEMORY in detector.branches:
        memory = detector.branches[MEMORY].scorer
        assert isinstance(memory, MemoryBank)  # noqa: S101 - narrowing only
        candidates = memory.aggregated(unit).flatten(0, 1)
        generator = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(candidates), generator=generator)[:CANDIDATES]
        scorers[MEMORY] = fit_memory(memory, candidates[some], seed)
    if POSITION in detector.branches:
        scorers[POSITION] = shrunk_positions(
            unit, detector.settings.branches.position_dims, len(pool.pictures.unique())
        )
    if PROBE in detector.branches:
        scorers[PROBE] = fit_probe(probe_of(detector, PROBE), cells, SYNTHETIC_RIDGE)
    return detector.replaced(branches=detector.branches.changed(scorers))


def shrunk_positions(tokens: Tensor, dims: int, pictures: int) -> PositionStatistics:
    """Statistics of (n, N, C) unit tokens whose covariances lean on that of all positions.

    Args:
        tokens: of views.
        dims: principal components.
        pictures: from which the views were made; the fewer, the more the covariances lean.
    """
    flat = tokens.flatten(0, 1)
    some = flat[:: max(1, len(flat) // CANDIDATES)]
    basis = principal(some - some.mean(0))[0][:, :dims].contiguous()
    z = tokens @ basis
    mean = z.mean(0)
    centred = (z - mean).transpose(0, 1).double()
    own = centred.mT @ centred / max(1, len(z) - 1)
    share = pictures / (pictures + COMMON_WEIGHT)
    covariance = share * own + (1 - share) * own.mean(0)
    ridge = RIDGE * own.diagonal(dim1=1, dim2=2).mean().clamp_min(1e-9)
    lower = torch.linalg.cholesky(covariance + ridge * torch.eye(dims, dtype=torch.float64))
    return PositionStatistics(basis, mean, torch.linalg.inv(lower).mT.float().contiguous())
