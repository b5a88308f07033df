"""The image branch: how unusual a frame is as a whole, where no single place shows it.

A changed texture, a wrong part or another lot shifts the mean and the spread of the features
everywhere a little. The highest values of an anomaly map do not show that; some even fall.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImageStatistics(nn.Module):
    """Mahalanobis distance of pooled features to those of good frames.

    Mean and standard deviation of every channel, standardised, are split into their r strongest
    principal components and the rest; the rest counts with the average variance.

    Attributes:
        centre, scale: (2C,) of the standardisation.
        basis: (2C, r) principal components.
        gain, rest_gain: (r,) and () inverse variances.
        rescale: (2,) offset and slope that bring distances to the scale of image scores.
    """

    centre: Tensor
    scale: Tensor
    basis: Tensor
    gain: Tensor
    rest_gain: Tensor
    rescale: Tensor

    def __init__(self, channels: int, dims: int):
        super().__init__()
        self.channels, self.dims = channels, dims
        self.register_buffer("centre", torch.zeros(2 * channels))
        self.register_buffer("scale", torch.ones(2 * channels))
        self.register_buffer("basis", torch.zeros(2 * channels, dims))
        self.register_buffer("gain", torch.zeros(dims))
        self.register_buffer("rest_gain", torch.zeros(()))
        self.register_buffer("rescale", torch.tensor([0.0, 1.0]))

    def changed(self, **constants: Tensor) -> ImageStatistics:
        """Return a copy with other constants, by their names."""
        other = ImageStatistics(self.channels, self.dims)
        other.load_state_dict(self.state_dict() | constants)
        return other

    @staticmethod
    def pooled(tokens: Tensor) -> Tensor:
        """Mean and standard deviation over positions, (B, N, C) to (B, 2C)."""
        mean = tokens.mean(1)
        spread = ((tokens - mean.unsqueeze(1)) ** 2).mean(1).sqrt()
        return torch.cat([mean, spread], -1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, C) to distances (B,)."""
        z = (self.pooled(tokens) - self.centre) / self.scale
        strongest = z @ self.basis
        squared = strongest * strongest
        rest = ((z * z).sum(-1, keepdim=True) - squared.sum(-1, keepdim=True)).clamp_min(0)
        # One sum over both: squares of what is far from good overflow in half precision, and only
        # what leads straight to the score is sure to stay out of it.
        return torch.cat([squared * self.gain, rest * self.rest_gain], -1).sum(-1).sqrt()
