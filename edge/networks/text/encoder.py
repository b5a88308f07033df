"""The seam between sentences and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class TextEncoder(Protocol):
    """Turns sentences into vectors.

    Attributes:
        width: D, length of a vector.
    """

    width: int

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Encode n >= 1 sentences as (n, D) float32 rows of unit length, without gradient."""
        ...
