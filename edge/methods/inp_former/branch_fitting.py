"""Fitting of the unsupervised branches to features of good parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.methods.inp_former.branches import MEMORY, POSITION
from edge.methods.inp_former.coreset import coreset
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.memory_bank import MemoryBank, PositionStatistics
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.training.feature_cache import FeatureCache

# Tokens from which the coreset is picked, and pictures behind the statistics of positions.
CANDIDATES = 30_000
PICTURES = 600
CHUNK = 16
# Added to the covariance of every position, in units of the mean variance: it is estimated from few
# pictures.
RIDGE = 0.12
# With fewer held-out parts, it is unknown how much pictures of a product differ as a whole.
IMAGE_LEAST_PARTS = 30


def with_branches(model: ModelSettings, held_out_parts: int | None) -> ModelSettings:
    """Leave out the image branch where too few independent held-out parts can calibrate it.

    None leaves out all branches. INP-Former's maps are then those of the paper: without other
    branches, what centring and tail slope take off them would be lost (docs/adr/0016).
    """
    if held_out_parts is None:
        as_published = {
            "tail_slope": 1,
            "score_tail_slope": None,
            "score_from": "map",
            "local_contrast": 0,
        }
        alone: dict[str, object] = {
            "branches": BranchSettings(),
            "inp_former": model.inp_former.model_copy(update={"map_centring": 0}),
            "map": model.map.model_copy(update=as_published),
        }
        return model.model_copy(update=alone)
    if held_out_parts >= IMAGE_LEAST_PARTS:
        return model
    branches = model.branches.model_copy(update={"image_dims": 0})
    return model.model_copy(update={"branches": branches})


@torch.no_grad()
def fit_branches(detector: Detector, cache: FeatureCache, seed: int) -> Detector:
    """Return the detector with memory bank, position and image statistics of the training set."""
    order = np.random.default_rng(seed).permutation(len(cache))
    scorers: dict[str, nn.Module] = {}
    if MEMORY in detector.branches:
        memory = detector.branches[MEMORY].scorer
        assert isinstance(memory, MemoryBank)  # noqa: S101 - narrowing only
        each = -(-CANDIDATES // len(cache))
        generator = torch.Generator().manual_seed(seed)
        some = []
        for tokens in _chunks(detector, cache, order, is_unit=True):
            chosen = torch.randperm(tokens.shape[1], generator=generator)[:each]
            some.append(memory.aggregated(tokens)[:, chosen].flatten(0, 1))
        scorers[MEMORY] = fit_memory(memory, torch.cat(some), seed)
    if POSITION in detector.branches:
        chunks = _chunks(detector, cache, order[:PICTURES], is_unit=True)
        tokens = torch.cat([chunk.half() for chunk in chunks])
        scorers[POSITION] = fit_positions(tokens, detector.settings.branches.position_dims)
    image = detector.image
    if image is not None:
        chunks = _chunks(detector, cache, order, is_unit=False)
        image = fit_image(image, torch.cat([image.pooled(chunk) for chunk in chunks]))
    return detector.replaced(branches=detector.branches.changed(scorers), image=image)


def _chunks(
    detector: Detector, cache: FeatureCache, order: NDArray[np.int64], *, is_unit: bool
) -> Iterator[Tensor]:
    for start in range(0, len(order), CHUNK):
        tokens = torch.cat(cache.batch([int(i) for i in order[start : start + CHUNK]]), -1)
        yield detector.unit_groups(tokens) if is_unit else tokens


def fit_memory(memory: MemoryBank, candidates: Tensor, seed: int) -> MemoryBank:
    """Return a bank of the same size that holds a coreset of (n, C) aggregated unit tokens."""
    vectors = coreset(candidates, len(memory.bank), seed)
    # With fewer candidates than places the last one is repeated, which changes no distance.
    missing = len(memory.bank) - len(vectors)
    bank = torch.cat([vectors, vectors[-1:].expand(missing, -1)])
    return MemoryBank(bank, memory.neighbourhood)


def fit_positions(tokens: Tensor, dims: int) -> PositionStatistics:
    """Return statistics of (n, N, C) half-precision unit tokens in `dims` principal components."""
    flat = tokens.flatten(0, 1)
    some = flat[:: max(1, len(flat) // CANDIDATES)].float()
    basis = principal(some - some.mean(0))[0][:, :dims].contiguous()
    z = torch.stack([picture.float() @ basis for picture in tokens])
    mean = z.mean(0)
    centred = (z - mean).transpose(0, 1).double()
    covariance = centred.mT @ centred / max(1, len(z) - 1)
    ridge = RIDGE * z.var(dim=(0, 1)).mean().double().clamp_min(1e-9)
    lower = torch.linalg.cholesky(covariance + ridge * torch.eye(dims, dtype=torch.float64))
    return PositionStatistics(basis, mean, torch.linalg.inv(lower).mT.float().contiguous())


def fit_image(image: ImageStatistics, pooled: Tensor) -> ImageStatistics:
    """Return statistics of (n, 2C) pooled features, in as many components as `image` has."""
    centre = pooled.mean(0)
    scale = pooled.std(0) + 1e-3 * centre.abs() + 1e-3
    directions, variances = principal((pooled - centre) / scale)
    dims = min(image.dims, len(pooled) - 1)
    average = variances.sum() / len(variances)
    basis, gain = torch.zeros_like(image.basis), torch.zeros_like(image.gain)
    basis[:, :dims] = directions[:, :dims]
    gain[:dims] = 1 / (variances[:dims] + average)
    return image.changed(centre=centre, scale=scale, basis=basis, gain=gain, rest_gain=1 / average)


def principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Principal directions (C, C) and variances (C,) of (n, C) centred rows, strongest first."""
    covariance = centred.T.double() @ centred.double() / max(1, len(centred) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors.flip(1).float(), values.flip(0).clamp_min(0).float()
