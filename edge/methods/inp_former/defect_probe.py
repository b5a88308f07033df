"""Log-odds of a defect at every cell, linear in the frozen features (a linear probe).

The unsupervised branches measure the distance from good parts, in every direction alike. The probe
knows a direction: that of labelled defects, or of synthetic ones where nothing is labelled. It is
never the only branch, since defects that it was not fitted to may lie in any other direction.

It may also read the mean of a cell's neighbourhood: a mark that is ordinary in one place is a
defect in another. The average is taken last, after the linear map, so that it costs one number per
cell and kind.
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
        neighbourhood: its mean is read beside the token; of side 1, the token alone is read.

    Attributes:
        weight, bias: (C, K) and (K,), for tokens as the backbone gives them: the standardisation
            that fitting works with is folded in. With a neighbourhood (2C, K): the rows for its
            mean are last.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, kinds: int, neighbourhood: Neighbourhood):
        super().__init__()
        self.channels, self.kinds, self.neighbourhood = channels, kinds, neighbourhood
        rows = channels if neighbourhood.side == 1 else 2 * channels
        self.register_buffer("weight", torch.zeros(rows, kinds))
        self.register_buffer("bias", torch.zeros(kinds))

    def fitted(self, weight: Tensor, bias: Tensor) -> DefectProbe:
        """Return a probe of the same shape with these weights."""
        probe = DefectProbe(self.channels, self.kinds, self.neighbourhood)
        probe.load_state_dict({"weight": weight, "bias": bias})
        return probe.requires_grad_(False).eval()

    def inputs(self, tokens: Tensor) -> Tensor:
        """What `weight` is multiplied with: (B, N, C) tokens and the means beside them."""
        if self.neighbourhood.side == 1:
            return tokens
        return torch.cat([tokens, self.neighbourhood(tokens)], -1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, C) to log P(any kind) / P(good), (B, N)."""
        # The columns for tokens and for means side by side: tokens are read once.
        weights = torch.cat(self.weight.split(self.channels), 1)
        own, *aggregated = (tokens @ weights).split(self.kinds, -1)
        logits = own + self.bias
        for values in aggregated:
            logits = logits + self.neighbourhood(values)
        if self.kinds == 1:
            return logits[..., 0]
        # The maximum first: exponentials of the rest are at most 1, in half precision too.
        top = logits.amax(-1)
        return top + (logits - top.unsqueeze(-1)).exp().sum(-1).log()
