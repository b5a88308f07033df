"""PromptMAD's mask: a text-conditioned segmentor on what a reconstruction missed, then refinement.

It serves PromptMAD's own reconstruction, and INP-Former's as a branch of its map. Sizes are ours
throughout: the sources (arXiv 2601.22492) name the parts and no more.

Symbols: B batch, h x w grid cells, H x W mask cells, D width of a text token, K defect types.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.promptmad.denoiser import STEPS, Denoiser, signal_shares, step_times
from edge.methods.promptmad.reconstruction import Attention, EncoderLayer, Positions
from edge.methods.promptmad.settings import MOST_DEFECT_TEXTS, RefinerNet

TEXT_WIDTH = 256
RESIDUAL_WIDTH, LEVEL_WIDTH, WIDTH, LAST_WIDTH, FEATURES = 64, 32, 96, 64, 32
LAYERS, HEADS = 2, 4
# Logit of a defect before training: defects are rare, and most of the loss is theirs at the start.
PRIOR_LOGIT = -3.0


class TextTokens(nn.Module):
    """Text rows as tokens: one linear layer over rows that never change.

    Attributes:
        rows: (1 + K, text width) unit rows, row 0 the good state.
    """

    rows: Tensor

    def __init__(self, text_width: int, types: int, width: int = TEXT_WIDTH):
        super().__init__()
        self.register_buffer("rows", torch.zeros(1 + types, text_width))
        self.project = nn.Linear(text_width, width)

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Take the (1 + K, text width) rows of the product."""
        self.rows.copy_(rows)

    def forward(self) -> Tensor:
        """Tokens (1, 1 + K, D)."""
        return self.project(self.rows)[None]


class Coarse(NamedTuple):
    """What the segmentor says: logits (B, 1, H, W), and a feature (B, FEATURES, H, W)."""

    logit: Tensor
    feature: Tensor


class Segmentor(nn.Module):
    """Residual and backbone levels at the mask's size, attention over places and text.

    Args:
        channels: of the residual.
        levels: channels of the backbone levels that help, none for INP-Former.
        grid_hw: cells of the residual.
        upscaling: mask cells along one side of a grid cell.
        text_width: D.
    """

    def __init__(
        self,
        channels: int,
        levels: tuple[int, ...],
        grid_hw: tuple[int, int],
        upscaling: int,
        text_width: int = TEXT_WIDTH,
    ):
        super().__init__()
        self.upscaling = upscaling
        self.grid_hw = grid_hw
        self.size_hw = (upscaling * grid_hw[0], upscaling * grid_hw[1])
        self.residual = nn.Conv2d(channels, RESIDUAL_WIDTH, 1)
        self.levels = nn.ModuleList(nn.Conv2d(count, LEVEL_WIDTH, 1) for count in levels)
        joined = RESIDUAL_WIDTH + LEVEL_WIDTH * len(levels)
        self.join = nn.Sequential(
            nn.Conv2d(joined, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()
        )
        self.positions = Positions(grid_hw, WIDTH)
        self.layers = nn.ModuleList(EncoderLayer(WIDTH, HEADS, 2 * WIDTH) for _ in range(LAYERS))
        self.text = nn.Linear(text_width, WIDTH)
        # Stands in for the types that a product lacks of MOST_DEFECT_TEXTS.
        self.empty = nn.Parameter(torch.randn(1, 1, text_width))
        self.read = Attention(WIDTH, HEADS, 0.0)
        self.last = nn.Sequential(nn.Conv2d(WIDTH, LAST_WIDTH, 3, padding=1), nn.ReLU())
        self.logit = nn.Conv2d(LAST_WIDTH, 1, 1)
        self.feature = nn.Conv2d(LAST_WIDTH, FEATURES, 1)
        self.logit.bias = nn.Parameter(torch.full((1,), PRIOR_LOGIT))

    def forward(self, residual: Tensor, levels: tuple[Tensor, ...], text: Tensor) -> Coarse:
        """Segment.

        Args:
            residual: (B, C, h, w).
            levels: (B, C_l, h_l, w_l) each, at any size.
            text: (1, 1 + K, D) tokens.
        """
        parts = [self.residual(residual)]
        parts += [layer(level) for layer, level in zip(self.levels, levels, strict=True)]
        x = self.join(torch.cat([self._enlarged(part) for part in parts], 1))
        x = x + self._enlarged(self._attended(x, text))
        x = self.last(x)
        return Coarse(self.logit(x), self.feature(x))

    def _attended(self, x: Tensor, text: Tensor) -> Tensor:
        """Spatial attention on the grid, then cross-attention to the text; (B, WIDTH, h, w)."""
        y = F.avg_pool2d(x, self.upscaling).flatten(2).mT
        position = self.positions()
        for layer in self.layers:
            y = layer(y, position)
        missing = 1 + MOST_DEFECT_TEXTS - text.shape[1]
        tokens = self.text(torch.cat([text, self.empty.expand(1, missing, -1)], 1))
        tokens = tokens.expand(len(y), -1, -1)
        y = y + self.read(y + position, tokens, tokens)
        return y.mT.unflatten(-1, self.grid_hw)

    def _enlarged(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) == self.size_hw:
            return x
        return F.interpolate(x, size=self.size_hw, mode="bilinear", align_corners=False)


class MaskRefiner(nn.Module):
    """Segmentor and its refinement: deterministic DDIM steps (eta 0) from the coarse mask.

    Masks are refined as numbers from -1, good, to 1, defective. The start is the coarse mask
    itself, scaled as the schedule says after STEPS steps and without any noise.
    """

    def __init__(
        self,
        net: RefinerNet,
        channels: int,
        levels: tuple[int, ...],
        grid_hw: tuple[int, int],
        text_width: int = TEXT_WIDTH,
    ):
        super().__init__()
        self.steps = net.steps
        self.segmentor = Segmentor(channels, levels, grid_hw, net.upscaling, text_width)
        self.size_hw = self.segmentor.size_hw
        self.denoiser = Denoiser(FEATURES, text_width) if net.steps else None

    def set_steps(self, steps: int) -> None:
        """Refine in `steps` steps from now on; 0 leaves the denoiser out."""
        self.steps = steps
        if steps == 0:
            self.denoiser = None

    def forward(self, residual: Tensor, levels: tuple[Tensor, ...], text: Tensor) -> Tensor:
        """Logits of a defect, (B, 1, H, W), from the segmentor's inputs."""
        coarse = self.segmentor(residual, levels, text)
        if self.denoiser is None:
            return coarse.logit
        return refine(self.denoiser, coarse, text, self.steps)


class ReconstructionMask(nn.Module):
    """The refiner with its text, behind a reconstruction of tokens such as INP-Former's.

    Interface of edge.methods.inp_former.plus.ResidualHead, so that either may judge. No backbone
    level helps here, and nothing flows back: the residual is detached.
    """

    def __init__(self, net: RefinerNet, channels: int, grid_hw: tuple[int, int]):
        super().__init__()
        self.grid_hw = grid_hw
        self.text = TextTokens(net.text_width, len(net.types))
        self.refiner = MaskRefiner(net, channels, (), grid_hw)
        self.size_hw = self.refiner.size_hw

    def forward(self, missed: Tensor) -> Tensor:
        """Map a residual (B, N, C) to logits of a defect, (B, 1, H, W)."""
        return self.refiner(missed.detach().mT.unflatten(-1, self.grid_hw), (), self.text())


def refine(denoiser: Denoiser, coarse: Coarse, text: Tensor, steps: int) -> Tensor:
    """Refine a coarse mask in `steps` steps: logits (B, 1, H, W)."""
    shares, mean = signal_shares(), defect_text(text)
    logit = coarse.logit
    noisy = shares[STEPS] ** 0.5 * (logit / 2).tanh()
    for time, after in pairwise((*step_times(steps), 0)):
        times = torch.full((len(noisy),), time, dtype=torch.int64, device=noisy.device)
        logit = denoiser(noisy, coarse.logit, coarse.feature, times, mean)
        clean = (logit / 2).tanh()
        noise = (noisy - shares[time] ** 0.5 * clean) / (1 - shares[time]) ** 0.5
        noisy = shares[after] ** 0.5 * clean + (1 - shares[after]) ** 0.5 * noise
    return logit


def defect_text(text: Tensor) -> Tensor:
    """Mean token (1, D) of the defects among (1, 1 + K, D); the good state's where K is 0."""
    some = text[:, 1:] if text.shape[1] > 1 else text
    # Not mean(): the exporter would name the folded constant as the detector names its pixel mean.
    return some.sum(1) / some.shape[1]
