"""Log-odds of a defect at every place, linear in the frozen features (a linear probe).

The other branches say how far a place is from good parts, in every direction alike. The probe knows
a direction: that of labelled defects, or of synthetic ones where nothing is labelled. It never
judges alone, since what it was not taught may lie in any other direction.

It may look at a place and at the mean of its surroundings: a mark that is ordinary in one place
stands out in another, and a stain has an inside. What is linear may be averaged last, so that this
costs the average of one number a cell and kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.networks.neighbourhood import Neighbourhood


class DefectProbe(nn.Module):
    """Softmax over {good, kind 1..K} with the logit of good held at 0.

    Args:
        channels: C of a token.
        kinds: K.
        around: the surroundings that are looked at, too.

    Attributes:
        weight, bias: (C, K) and (K,), for tokens as the backbone gives them: the standardisation
            that training works with is folded in. (2C, K) with surroundings, whose rows are last.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, kinds: int, around: Neighbourhood):
        super().__init__()
        self.channels, self.kinds, self.around = channels, kinds, around
        rows = channels if around.side == 1 else 2 * channels
        self.register_buffer("weight", torch.zeros(rows, kinds))
        self.register_buffer("bias", torch.zeros(kinds))

    def untaught(self) -> DefectProbe:
        """A probe of the same shape that knows nothing yet."""
        return DefectProbe(self.channels, self.kinds, self.around)

    def seen(self, tokens: Tensor) -> Tensor:
        """What `weight` is multiplied with: (B, N, C) tokens, and their surroundings behind."""
        if self.around.side == 1:
            return tokens
        return torch.cat([tokens, self.around(tokens)], -1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, C) to log P(any kind) / P(good), (B, N)."""
        # What belongs to a cell and to its surroundings side by side: tokens are read once.
        weights = torch.cat(self.weight.split(self.channels), 1)
        own, *beside = (tokens @ weights).split(self.kinds, -1)
        logits = own + self.bias
        for seen in beside:
            logits = logits + self.around(seen)
        if self.kinds == 1:
            return logits[..., 0]
        # The maximum first: exponentials of the rest are at most 1, in half precision too.
        top = logits.amax(-1)
        return top + (logits - top.unsqueeze(-1)).exp().sum(-1).log()
