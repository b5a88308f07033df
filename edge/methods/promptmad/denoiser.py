"""The denoiser of PromptMAD's mask refinement, and its noise schedule.

The sources say: ten steps, a linear schedule, a U-Net, conditioned on text. Sizes and range are
ours; with them only a tenth of the variance is noise after ten steps: a refiner, no generator.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 10
BETAS = (1e-4, 0.02)
WIDTHS = (32, 64, 96)
TIME_WIDTH = 64
NORM_GROUPS = 8


def signal_shares() -> tuple[float, ...]:
    """Cumulative share of the signal after 0..STEPS steps, STEPS + 1 of them; the first is 1."""
    first, last = BETAS
    kept = [1 - first - (last - first) * step / (STEPS - 1) for step in range(STEPS)]
    return (1.0, *accumulate(kept, mul))


def step_times(steps: int) -> tuple[int, ...]:
    """Times of a refinement in so many steps, from STEPS down, evenly spaced."""
    return tuple(round(STEPS * (steps - done) / steps) for done in range(steps))


class FilmBlock(nn.Module):
    """Two convolutions with a shortcut; the condition scales and shifts the channels between."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.norm2 = _norm(inputs), _norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.film = nn.Linear(TIME_WIDTH, 2 * outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, C, h, w) and (B, TIME_WIDTH) to (B, C', h, w)."""
        y = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        y = F.silu(self.norm2(y) * (1 + scale) + shift)
        return self.shortcut(x) + self.conv2(y)


class Denoiser(nn.Module):
    """U-Net of three levels, two blocks each, that finds the clean mask in a noisy one.

    Args:
        features: channels of the segmentor's feature.
        text_width: D of the text token.
    """

    times: Tensor

    def __init__(self, features: int, text_width: int):
        super().__init__()
        first, second, third = WIDTHS
        self.enter = nn.Conv2d(2 + features, first, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(TIME_WIDTH, TIME_WIDTH), nn.SiLU())
        self.text = nn.Linear(text_width, TIME_WIDTH)
        self.down = nn.ModuleList(
            [
                nn.ModuleList([FilmBlock(first, first), FilmBlock(first, first)]),
                nn.ModuleList([FilmBlock(first, second), FilmBlock(second, second)]),
                nn.ModuleList([FilmBlock(second, third), FilmBlock(third, third)]),
            ]
        )
        self.shrink = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for width in WIDTHS[:2]
        )
        self.up = nn.ModuleList(
            [
                nn.ModuleList([FilmBlock(third + second, second), FilmBlock(second, second)]),
                nn.ModuleList([FilmBlock(second + first, first), FilmBlock(first, first)]),
            ]
        )
        self.leave = nn.Conv2d(first, 1, 1)
        # An untrained denoiser changes nothing: its mask is the coarse one.
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("times", _sinusoids(), persistent=False)

    def forward(
        self, noisy: Tensor, coarse: Tensor, feature: Tensor, time: Tensor, text: Tensor
    ) -> Tensor:
        """Logits of the clean mask, (B, 1, h, w).

        Args:
            noisy: (B, 1, h, w), the mask at `time`, -1 good to 1 defective, with noise.
            coarse: (B, 1, h, w) logits of the coarse mask.
            feature: (B, F, h, w) of the segmentor.
            time: (B,) int64, 1 to STEPS.
            text: (1, D), mean token of the defects.
        """
        condition = F.silu(self.time(self.times[time]) + self.text(text))
        x = self.enter(torch.cat([noisy, (coarse / 2).tanh(), feature], 1))
        skipped = []
        for level, blocks in enumerate(self.down):
            if level:
                skipped.append(x)
                x = self.shrink[level - 1](x)
            x = _through(blocks, x, condition)
        for blocks in self.up:
            skip = skipped.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = _through(blocks, torch.cat([x, skip], 1), condition)
        return coarse + self.leave(F.silu(x))


def _through(blocks: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    for block in blocks.children():
        x = block(x, condition)
    return x


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels)


def _sinusoids() -> Tensor:
    """Embedding of every time 0..STEPS, (STEPS + 1, TIME_WIDTH)."""
    half = TIME_WIDTH // 2
    frequency = torch.exp(-torch.arange(half) / half * torch.tensor(10_000.0).log())
    angle = torch.arange(STEPS + 1)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)
