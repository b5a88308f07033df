"""Options of INP-Former++ (arXiv 2506.03660) on top of INP-Former; all off by default.

The paper's code is not published. What its descriptions leave open is ours and said so here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.methods.inp_former.network import cosine_distance, unit
from edge.networks.features import Groups

# Sharpness of the similarity weights. Ours: at 1 they would hardly differ (cosines do not either),
# towards 0 they become the nearest prototype alone.
TEMPERATURE = 0.1
# Hidden channels of the head; the published description gives none. Ours: it stays a small part of
# even the lite preset's cost.
HEAD_CHANNELS = (32, 16)
# Cells of the head's output along one side of a grid cell: two layers of stride 2.
UPSCALING = 4


def soft_prototype_distance(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine distance of each token (B, N, D) to its own mixture of prototypes (B, M, D): (B, N).

    The mixture weighs every prototype by its similarity to the token, so that a token does not pull
    on its nearest prototype alone and all of them do not collapse on one. Tokens are detached, as
    in the plain coherence loss.
    """
    tokens = tokens.detach()
    similarity = unit(tokens) @ unit(prototypes).mT
    mixture = (similarity / TEMPERATURE).softmax(-1) @ prototypes
    return cosine_distance(tokens, mixture)


def residual(groups: Groups, rebuilt: Groups) -> Tensor:
    """What the reconstruction misses, channel by channel, (B, N, sum of C_g), from 0.

    Per group the absolute difference of the unit tokens times the root of their number of channels:
    the mean square over the channels is twice the cosine distance, so every channel of every
    backbone has about the same scale. Squares themselves have tails that the head overfits to.
    """
    parts = [
        (unit(group) - unit(guess)).abs() * group.shape[-1] ** 0.5
        for group, guess in zip(groups, rebuilt, strict=True)
    ]
    return torch.cat(parts, -1)


class ResidualHead(nn.Module):
    """Segmentation head on the residual: two transposed convolutions of stride 2, one convolution.

    Nothing flows back from it into the reconstruction: the residual is detached. Channels are
    standardised first, by constants that training leaves behind: the residual is never negative,
    and its common part would drive every output into the sigmoid's flat end.
    """

    def __init__(self, channels: int, grid_hw: tuple[int, int], hidden: tuple[int, int]):
        super().__init__()
        self.grid_hw = grid_hw
        self.size_hw = (UPSCALING * grid_hw[0], UPSCALING * grid_hw[1])
        first, second = hidden
        self.layers = nn.Sequential(
            # Without momentum the statistics are the plain mean over all training batches.
            nn.BatchNorm2d(channels, momentum=None, affine=False),
            nn.ConvTranspose2d(channels, first, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, second, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, 1, 3, padding=1),
        )

    def forward(self, missed: Tensor) -> Tensor:
        """Map a residual (B, N, C) to logits of a defect, (B, 1, 4h, 4w)."""
        picture = missed.detach().mT.unflatten(-1, self.grid_hw)
        return self.layers(picture)
