"""The outputs of every exported graph."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NetworkOutput(NamedTuple):
    """Output of a network that names no types.

    Attributes:
        map: (B, H / map stride, W / map stride) float32; around 0 on good pixels, see
            CalibratedSum.
        score: (B,) float32.
    """

    map: Tensor
    score: Tensor


class TypedNetworkOutput(NamedTuple):
    """Output of a network that names types.

    Attributes:
        map, score: as in NetworkOutput.
        type_logits: (B, C, h, w) float32, row 0 normal. How a region gets its type from them is the
            recipe's `type_evidence`.
    """

    map: Tensor
    score: Tensor
    type_logits: Tensor
