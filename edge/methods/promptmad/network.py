"""PromptMAD: one good picture and words as prompts (arXiv 2601.22492, on OneNIP, ECCV 2024).

A frame's features are rebuilt from those of a fixed good picture, the prompt; what is missed gives
a map of its own, and through segmentor and refinement a mask. Both make the map.

Symbols: B batch, N grid cells, C channels of all stages, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.method import Network
from edge.methods.promptmad.reconstruction import PromptedReconstruction
from edge.methods.promptmad.refiner import MaskRefiner, TextTokens
from edge.methods.promptmad.settings import PromptMadSettings
from edge.networks.anomaly_map import CalibratedSum
from edge.networks.backbones.efficientnet_lite import EfficientNetLite
from edge.networks.features import PyramidFeatures
from edge.networks.output import NetworkOutput

# Side of the score's averaging window, of the side of the input: 16 of 224 pixels.
WINDOW_SHARE = 16 / 224


class SeenFrame(NamedTuple):
    """Frozen features of a batch.

    Attributes:
        tokens: (B, N, C), all stages side by side on the grid.
        levels: stages but the first at their own size, (B, C_l, h_l, w_l) each.
    """

    tokens: Tensor
    levels: tuple[Tensor, ...]


class PooledMax(nn.Module):
    """Score of a frame: the highest mean of its map over a square window."""

    def __init__(self, map_hw: tuple[int, int]):
        super().__init__()
        side = round(WINDOW_SHARE * (map_hw[0] * map_hw[1]) ** 0.5)
        self.side = max(1, min(side, *map_hw))

    def forward(self, anomaly_map: Tensor) -> Tensor:
        """Map (B, H, W) to (B,)."""
        means = F.avg_pool2d(anomaly_map.unsqueeze(1), self.side, stride=1)
        return means.flatten(1).amax(1)


class PromptMadDetector(Network):
    """Frames in, map and score out. This is what exports and judges.

    The prompt is part of the weights: it is chosen once, so the same frame always gets the same
    score.

    Attributes:
        prompt: (1, N, D) encoded features of the prompt picture.
    """

    mean: Tensor
    std: Tensor
    prompt: Tensor

    def __init__(self, settings: PromptMadSettings):
        super().__init__()
        self.settings = settings
        backbone, net = settings.backbone, settings.net
        self.features = PyramidFeatures(
            EfficientNetLite(backbone.name, backbone.taps), backbone.stride, settings.size_wh
        )
        self.grid_hw = self.features.grid_hw
        channels = self.features.channels
        self.text = TextTokens(settings.refiner.text_width, len(settings.refiner.types), net.width)
        self.reconstruction = PromptedReconstruction(
            sum(channels), self.grid_hw, **net.model_dump()
        )
        self.refiner = MaskRefiner(
            settings.refiner, sum(channels), channels[1:], self.grid_hw, net.width
        )
        cells = self.grid_hw[0] * self.grid_hw[1]
        self.register_buffer("prompt", torch.zeros(1, cells, net.width))
        width, height = settings.size_wh
        self.map_hw = (height // settings.map_stride, width // settings.map_stride)
        self.fuse = CalibratedSum(2)
        self.fuse.weight.copy_(torch.tensor([settings.share, 1 - settings.share]))
        self.score = PooledMax(self.map_hw)
        for name, values in (
            ("mean", self.features.backbone.mean),
            ("std", self.features.backbone.std),
        ):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def extract(self, frames: Tensor) -> SeenFrame:
        """Frozen features of (B, H, W, 3) uint8 RGB frames."""
        # Float first: TensorRT takes uint8 as an input but computes nothing with it.
        image = (frames.float().permute(0, 3, 1, 2) - self.mean) / self.std
        levels = self.features.backbone(image)
        tokens = torch.cat(self.features.tokens(levels), -1)
        scaled = [level / self.features.rms[index] for index, level in enumerate(levels)]
        return SeenFrame(tokens, tuple(scaled[1:]))

    def good_text(self) -> Tensor:
        """Text token of the good state, (1, 1, D)."""
        return self.text()[:, :1]

    def missed(self, tokens: Tensor) -> Tensor:
        """What the reconstruction misses of features (B, N, C), with their sign; same shape."""
        encoded = self.reconstruction.encode(tokens)
        prompt = self.prompt.expand(len(tokens), -1, -1)
        return self.reconstruction.decode(encoded, prompt, self.good_text()) - tokens

    def as_grid(self, tokens: Tensor) -> Tensor:
        """(B, N, C) as (B, C, h, w)."""
        return tokens.mT.unflatten(-1, self.grid_hw)

    def mask_logit(self, missed: Tensor, levels: tuple[Tensor, ...]) -> Tensor:
        """Logits of a defect (B, 1, H, W) from `missed` (B, N, C) and backbone levels.

        Nothing flows back into the reconstruction: only its value is read.
        """
        return self.refiner(self.as_grid(missed.detach().abs()), levels, self.text())

    def branches(self, seen: SeenFrame) -> Tensor:
        """Uncalibrated maps, (B, 2, H, W): length of what is missed, and probability of a defect.

        Both at the map's size.
        """
        missed = self.missed(seen.tokens)
        length = self.as_grid(missed.square().sum(-1, keepdim=True).sqrt())
        probability = self.mask_logit(missed, seen.levels).sigmoid()
        maps = [
            F.interpolate(grid, size=self.map_hw, mode="bilinear", align_corners=False)
            for grid in (length, probability)
        ]
        return torch.cat(maps, 1)

    def judge(self, branches: Tensor) -> NetworkOutput:
        """Fuse branch maps (B, 2, H, W) into map and score."""
        anomaly_map = self.fuse(branches)[:, 0]
        return NetworkOutput(anomaly_map, self.score(anomaly_map))

    def forward(self, frames: Tensor) -> NetworkOutput:
        """Judge (B, H, W, 3) uint8 RGB frames already at network size."""
        return self.judge(self.branches(self.extract(frames)))

    def set_refinement_steps(self, steps: int) -> None:
        """Refine the mask in `steps` steps from now on; 0 leaves the denoiser out."""
        refiner = self.settings.refiner.model_copy(update={"steps": steps})
        self.settings = self.settings.model_copy(update={"refiner": refiner})
        self.refiner.set_steps(steps)

    @torch.no_grad()
    def set_prompt(self, tokens: Tensor) -> None:
        """Take features (N, C) of one good picture as the prompt; again after the encoder changed.

        The encoder must not drop anything while this runs: evaluation mode.
        """
        self.prompt.copy_(self.reconstruction.encode(tokens[None]))

    @torch.no_grad()
    def calibrate(self, branches: Tensor, strongest: float) -> None:
        """Bring the reconstruction to the scale of good frames, and the mask beside it.

        Args:
            branches: (n, 2, H, W) of good frames held out of training.
            strongest: highest calibrated reconstruction error that defects reach. As in OneNIP a
                certain mask weighs as much as the middle between the lowest and this; OneNIP takes
                both from the very frames under test, here they are frozen.
        """
        self.fuse.calibrate(branches)
        lowest = float((branches[:, 0].min() - self.fuse.offset[0]) / self.fuse.scale[0])
        self.fuse.offset[1] = 0.0
        self.fuse.scale[1] = 1 / max(1.0, (strongest + lowest) / 2)
