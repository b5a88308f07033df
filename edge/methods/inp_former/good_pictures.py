"""The good pictures of a cross-fitted run, dealt into shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.data.frames import InputShape
from edge.data.image_set import Sample
from edge.training.feature_cache import FeatureCache


@dataclass(frozen=True, slots=True)
class Good:
    """The good pictures that a run learns from, as features and as files.

    Attributes:
        cache: features of all network inputs, tile by tile in the order of `samples`.
        shares: number of the share that each picture is dealt into, from 0; empty without shares.
        trimmed: places of pictures that nothing learns from.
    """

    cache: FeatureCache
    samples: Sequence[Sample]
    shares: NDArray[np.intp]
    shape: InputShape
    trimmed: Sequence[int] = ()

    @property
    def learned(self) -> NDArray[np.intp]:
        """Places of the pictures to learn from."""
        return np.setdiff1d(np.arange(len(self.samples)), np.array(self.trimmed, np.intp))

    @property
    def count(self) -> int:
        """How many shares there are."""
        return int(self.shares.max()) + 1

    def of(self, pictures: NDArray[np.intp]) -> FeatureCache:
        """Features of some pictures."""
        return self.cache.some(self.inputs(pictures))

    def inputs(self, pictures: NDArray[np.intp]) -> NDArray[np.intp]:
        """Places of the network inputs of some pictures."""
        tiles = np.arange(self.shape.tiles)
        return (pictures[:, None] * self.shape.tiles + tiles).reshape(-1)

    def with_shares(self, numbers: Sequence[int], *, left_out: bool = False) -> NDArray[np.intp]:
        """Pictures of some shares, or those to learn from of all others."""
        if left_out:
            return self.learned[~np.isin(self.shares[self.learned], numbers)]
        return np.flatnonzero(np.isin(self.shares, numbers))
