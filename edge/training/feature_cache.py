"""Frozen features, computed once and kept on disk in half precision while a run trains."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, input_batches
from edge.data.image_set import Sample
from edge.networks.features import Groups, PyramidFeatures, VitFeatures
from edge.training.mapped_arrays import MappedArrays


class Extractor(Protocol):
    """A network with frozen features."""

    features: PyramidFeatures | VitFeatures

    def extract(self, frames: Tensor) -> Groups:
        """Map (B, H, W, 3) uint8 frames to groups (B, N, C_g)."""
        ...


class FeatureCache:
    """Features of the network inputs of a list of pictures, by group, memory-mapped.

    `arrays` holds one (n, N, C_g) float16 array per group; n counts tiles. `rows` are the inputs
    that the cache shows, None all of them.
    """

    def __init__(self, arrays: Sequence[NDArray[np.float16]], rows: NDArray[np.intp] | None = None):
        self.arrays = tuple(arrays)
        self._rows = rows

    def __len__(self) -> int:
        return len(self.arrays[0]) if self._rows is None else len(self._rows)

    def some(self, rows: NDArray[np.intp]) -> FeatureCache:
        """The same features, of some of the inputs alone."""
        return FeatureCache(self.arrays, rows if self._rows is None else self._rows[rows])

    def batch(self, indices: Sequence[int]) -> Groups:
        """Read inputs by index as (B, N, C_g) float32 tensors."""
        rows = np.asarray(indices)
        if self._rows is not None:
            rows = self._rows[rows]
        return tuple(torch.from_numpy(array[rows].astype(np.float32)) for array in self.arrays)


def cache_features(
    folder: Path,
    detector: Extractor,
    samples: Sequence[Sample],
    shape: InputShape,
    identity: str,
    advance: Callable[[int], None],
) -> FeatureCache:
    """Compute the features of `samples`, or reuse those in `folder` if nothing changed.

    `identity` names the backbone and its weights; together with size and time stamp of every
    picture it decides whether old features may serve. `advance` is called with the number of
    inputs done since the last call.

    Raises:
        DataError: a picture is unreadable.
        WriteError: the disk is full or cannot be written.
    """
    count = len(samples) * shape.tiles
    height, width = detector.features.grid_hw
    files = {
        f"group{index}.f16": (np.float16, (count, height * width, channels))
        for index, channels in enumerate(detector.features.channels)
    }
    kept = MappedArrays(folder, _key(samples, shape, identity), files)
    if kept.is_current:
        advance(count)
        return FeatureCache(kept.arrays)
    done = 0
    for inputs in input_batches(samples, shape):
        for array, values in zip(kept.arrays, extract(detector, inputs), strict=True):
            array[done : done + len(inputs)] = values.half().numpy()
        done += len(inputs)
        advance(len(inputs))
    kept.finish()
    return FeatureCache(kept.arrays)


@torch.no_grad()
def extract(detector: Extractor, inputs: NDArray[np.uint8]) -> Groups:
    """Frozen features of (B, H, W, 3) uint8 inputs."""
    frames: Tensor = torch.from_numpy(inputs)
    return detector.extract(frames)


def _key(samples: Sequence[Sample], shape: InputShape, identity: str) -> dict[str, str]:
    digest = hashlib.sha256()
    for sample in samples:
        status = sample.path.stat()
        digest.update(f"{sample.path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"backbone": identity, "input": str(shape), "pictures": digest.hexdigest()}
