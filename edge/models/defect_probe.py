"""Log-odds of a defect at every place, linear in the frozen features (a linear probe).

The other branches say how far a place is from good parts, in every direction alike. The probe knows
a direction: that of labelled defects, or of synthetic ones where nothing is labelled. It never
judges alone, since what it was not taught may lie in any other direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DefectProbe(nn.Module):
    """Softmax over {good, kind 1..K} with the logit of good held at 0.

    Attributes:
        weight, bias: (C, K) and (K,), for tokens as the backbone gives them: the standardisation
            that training works with is folded in.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, kinds: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(channels, kinds))
        self.register_buffer("bias", torch.zeros(kinds))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, C) to log P(any kind) / P(good), (B, N)."""
        logits = tokens @ self.weight + self.bias
        if self.weight.shape[1] == 1:
            return logits[..., 0]
        # The maximum first: exponentials of the rest are at most 1, in half precision too.
        top = logits.amax(-1)
        return top + (logits - top.unsqueeze(-1)).exp().sum(-1).log()
