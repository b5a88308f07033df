"""Short numpy references to hold our detector against, on the same features.

All read the detector's own frozen features at its own network size. PatchCore and PaDiM score a
frame by the mean of the highest 1 % of the smoothed map, as the detector does. Differences to the
papers: PatchCore's vectors get unit length (on these features it gains 0.03 to 0.2 AUROC), its bank
has at most 10 000 of them, picked by the greedy k-centre rule among 50 000 random ones; no
reweighting of the image score. PaDiM keeps all channels.

`patchcore-1000` is the same with 1 000 vectors. Multi-head variants of PatchCore are reported with
banks of that size; their heads are not reproduced here. `pooled` looks at the frame as a whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np

BANK = 10_000
SMALL_BANK = 1_000
CANDIDATES = 50_000
PROJECTION = 32
PADIM_RIDGE = 0.01
SHRINKAGE = 0.1
TOP_RATIO = 0.01


@dataclass
class Reference:
    """Maps (None without) and scores of a reference on test pictures, its search time per frame."""

    maps: list[np.ndarray] | None
    scores: np.ndarray
    search_ms: float


class PatchCore:
    """Distance to the nearest vector of a coreset.

    Args:
        train: features of good pictures, (n, N, C).
    """

    def __init__(self, train, grid_hw, map_hw, seed=0, size=BANK):
        rng = np.random.default_rng(seed)
        each = -(-CANDIDATES // len(train))
        candidates = np.concatenate(
            [
                _unit(_neighbourhood(tokens, grid_hw))[rng.permutation(len(tokens))[:each]]
                for tokens in train
            ]
        )
        self.grid_hw, self.map_hw = grid_hw, map_hw
        self.bank = candidates[_k_centre(candidates, min(size, len(candidates)), rng)]
        self.norms = (self.bank**2).sum(1)

    def search(self, tokens):
        """Anomaly map of one picture's features (N, C)."""
        query = _unit(_neighbourhood(tokens, self.grid_hw))
        squared = (query**2).sum(1) + (self.norms - 2 * query @ self.bank.T).min(1)
        return _smooth(np.sqrt(np.maximum(squared, 0)).reshape(self.grid_hw), self.map_hw)


def patchcore(train, test, grid_hw, map_hw, seed=0):
    """PatchCore on test pictures. Features: (n, N, C)."""
    return _searched(PatchCore(train, grid_hw, map_hw, seed), test)


def patchcore_1000(train, test, grid_hw, map_hw, seed=0):
    """PatchCore with SMALL_BANK vectors, as fast variants have it."""
    return _searched(PatchCore(train, grid_hw, map_hw, seed, SMALL_BANK), test)


def _searched(reference, test):
    maps, times = [], []
    for tokens in test:
        start = time.perf_counter()
        maps.append(reference.search(tokens))
        times.append(time.perf_counter() - start)
    return Reference(maps, _scores(maps), float(np.median(times)) * 1e3)


def padim(train, test, grid_hw, map_hw, seed=0):  # noqa: ARG001 - nothing is drawn
    """Mahalanobis distance to a Gaussian per position. Features: (n, N, C)."""
    count, positions, channels = train.shape
    mean = train.mean(0, dtype=np.float32)
    whiten = np.empty((positions, channels, channels), np.float32)
    for position in range(positions):
        centred = train[:, position].astype(np.float32) - mean[position]
        covariance = centred.T @ centred / (count - 1) + PADIM_RIDGE * np.eye(channels)
        lower = np.linalg.cholesky(covariance)
        whiten[position] = np.linalg.inv(lower)
    maps, times = [], []
    for tokens in test:
        start = time.perf_counter()
        z = np.einsum("pij,pj->pi", whiten, tokens - mean)
        maps.append(_smooth(np.sqrt((z**2).sum(1)).reshape(grid_hw), map_hw))
        times.append(time.perf_counter() - start)
    return Reference(maps, _scores(maps), float(np.median(times)) * 1e3)


def pooled(train, test, grid_hw, map_hw, seed=0):  # noqa: ARG001 - as the others are called
    """Mahalanobis distance of a picture's mean and deviation of every channel; no map."""
    known = np.stack([_pooled(tokens) for tokens in train])
    centre, scale = known.mean(0), known.std(0) + 1e-6
    z = (known - centre) / scale
    # Few pictures for many channels: the covariance is shrunk towards that of independent ones.
    covariance = (1 - SHRINKAGE) * z.T @ z / (len(z) - 1) + SHRINKAGE * np.eye(z.shape[1])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    scores, times = [], []
    for tokens in test:
        start = time.perf_counter()
        scores.append(np.linalg.norm(whiten @ ((_pooled(tokens) - centre) / scale)))
        times.append(time.perf_counter() - start)
    return Reference(None, np.array(scores), float(np.median(times)) * 1e3)


def _pooled(tokens):
    tokens = tokens.astype(np.float64)
    return np.concatenate([tokens.mean(0), tokens.std(0)])


def _unit(tokens):
    return tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-9)


def _neighbourhood(tokens, grid_hw):
    """Average (N, C) over 3x3 cells, PatchCore's locally aware patch features."""
    grid = tokens.astype(np.float32).reshape(*grid_hw, -1)
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = grid_hw
    total = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return (total / 9).reshape(tokens.shape)


def _k_centre(vectors, count, rng):
    """Indices of a greedy k-centre coreset, on a random projection."""
    projected = vectors @ rng.normal(size=(vectors.shape[1], PROJECTION)).astype(np.float32)
    norms = (projected**2).sum(1)
    chosen = [int(rng.integers(len(vectors)))]
    nearest = np.full(len(vectors), np.inf, np.float32)
    while len(chosen) < count:
        latest = projected[chosen[-1]]
        distance = norms - 2 * projected @ latest + latest @ latest
        nearest = np.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def _smooth(grid, map_hw):
    upsampled = cv2.resize(grid.astype(np.float32), map_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(upsampled, (5, 5), 4, borderType=cv2.BORDER_REPLICATE)


def _scores(maps):
    count = max(1, int(TOP_RATIO * maps[0].size))
    return np.array([np.partition(m.ravel(), -count)[-count:].mean() for m in maps])
