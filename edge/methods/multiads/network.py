"""MultiADS: patch tokens against text vectors of defect types (ICCV 2025).

"MultiADS: Defect-aware Supervision for Multi-type Anomaly Detection and Segmentation in Zero-Shot
Learning". One linear adapter per backbone level maps frozen patch tokens into the text space; a
softmax over {normal, type 1..K} per patch gives the type volume, 1 - p(normal) the anomaly map. A
memory of normal patches adds the few-shot map.

Symbols: B batch, N patch tokens on an h x w grid, m levels, D text width, C = 1 + K channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.inp_former.network import unit
from edge.methods.method import Network
from edge.methods.multiads.settings import AlignedSettings, ClipSettings, SoftmaxOrder
from edge.networks.anomaly_map import CalibratedSum, TopMean
from edge.networks.backbones.clip import ClipShape, ClipVision
from edge.networks.features import Groups, PyramidFeatures, VitFeatures, build_features, mean_of
from edge.networks.image_head import ImageHead
from edge.networks.output import TypedNetworkOutput
from edge.networks.residual_adapter import ResidualAdapter

# Differences of probabilities and cosine distances below a hundredth tell nothing: a branch that
# is flat on good parts must not be blown up to the scale of the others.
LEAST_SCALE = 0.01
LEAST_PROBABILITY = 1e-6


class Seen(NamedTuple):
    """What is seen of a batch: one frozen (B, N, C_g) group per level, and the image vector."""

    groups: Groups
    image: Tensor | None


class ClipFeatures(nn.Module):
    """Tapped blocks of CLIP's image tower, one group each, with its projected class token."""

    def __init__(self, backbone: ClipVision):
        super().__init__()
        self.backbone = backbone
        self.grid_hw = backbone.grid_hw
        self.channels = (backbone.shape.width,) * len(backbone.taps)

    def forward(self, image: Tensor) -> Seen:
        """Map a normalised (B, 3, H, W) image to groups (B, N, D) and image vector (B, P)."""
        return Seen(*self.backbone(image))


class TypeAdapters(nn.Module):
    """The trainable part: one linear layer with bias per level, into the text space."""

    def __init__(self, channels: tuple[int, ...], text_width: int, temperature: float = 0.01):
        super().__init__()
        self.temperature = temperature
        self.adapters = nn.ModuleList(nn.Linear(count, text_width) for count in channels)

    def forward(self, groups: Groups, bank: Tensor) -> Groups:
        """Logits of each level.

        Args:
            groups: m frozen (B, N, C_g).
            bank: (C, D) unit rows for all pictures, or (B, C, D), one bank per picture.

        Returns:
            m (B, N, C): cosine with every row over the temperature.
        """
        return tuple(
            unit(adapter(group)) @ bank.mT / self.temperature
            for adapter, group in zip(self.adapters, groups, strict=True)
        )


def level_volumes(
    logits: Groups, grid_hw: tuple[int, int], size_hw: tuple[int, int], order: SoftmaxOrder
) -> tuple[Tensor, ...]:
    """Probabilities of each level at `size_hw`, (B, C, H, W) each; they sum to 1 over C.

    `order` is MultiAdsSettings.order.
    """
    grids = [level.mT.unflatten(-1, grid_hw) for level in logits]
    if order == "softmax-first":
        return tuple(enlarge(grid.softmax(1), size_hw) for grid in grids)
    return tuple(enlarge(grid, size_hw).softmax(1) for grid in grids)


def enlarge(grid: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Interpolate (B, C, h, w) to (B, C, H, W), bilinear with aligned corners as published."""
    return F.interpolate(grid, size=size_hw, mode="bilinear", align_corners=True)


class MultiAdsDetector(Network):
    """Frames in; anomaly map, score and types out. This is what exports and judges.

    Types added after training have text rows of their own, `added`: channels of the type logits,
    but no part in the softmax that gives map and score. `text_adapter` is what rows as encoded go
    through (MAVIS), None without one; both banks hold adapted rows, so no frame needs it.

    Branches of the map: the zero-shot map, and the distance to the few-shot memory if there is
    one, each brought to the scale of good parts and averaged. The score is the mean of the map's
    highest values, mixed with the image branch where the backbone has an image vector.
    """

    mean: Tensor
    std: Tensor
    bank: Tensor
    added: Tensor
    image_offset: Tensor
    image_scale: Tensor

    def __init__(self, settings: AlignedSettings):
        super().__init__()
        self.settings = settings
        self.features = self._features()
        channels = self.features.channels
        self.levels = len(channels)
        self.adapters = TypeAdapters(channels, settings.text_width, settings.temperature)
        rows = 1 + len(settings.types) - settings.added
        self.register_buffer("bank", torch.zeros(rows, settings.text_width))
        if settings.added:
            self.register_buffer("added", torch.zeros(settings.added, settings.text_width))
        self.text_adapter = (
            ResidualAdapter(settings.text_width) if settings.has_text_adapter else None
        )
        self.image_head = (
            ImageHead(channels, settings.text_width) if settings.has_image_head else None
        )
        self.memory = nn.ParameterList(
            nn.Parameter(torch.zeros(settings.memory, count), requires_grad=False)
            for count in channels
            if settings.memory
        )
        width, height = settings.size_wh
        self.map_hw = (height // settings.map_stride, width // settings.map_stride)
        self.fuse = CalibratedSum(2 if settings.memory else 1)
        self.top = TopMean(settings.top_ratio, self.map_hw[0] * self.map_hw[1])
        self.register_buffer("image_offset", torch.zeros(()))
        self.register_buffer("image_scale", torch.ones(()))
        backbone = self.features.backbone
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def extract(self, frames: Tensor) -> Seen:
        """Features of (B, H, W, 3) uint8 RGB frames."""
        seen = self.features(self.normalised(frames))
        return seen if isinstance(seen, Seen) else self.with_image(seen)

    def with_image(self, groups: Groups) -> Seen:
        """Add the image vector of a backbone that has none of its own, where one was trained."""
        head = self.image_head
        return Seen(groups, None if head is None else head(head.pooled(groups)))

    def normalised(self, frames: Tensor) -> Tensor:
        """Bring (B, H, W, 3) uint8 RGB frames to what the backbone takes, (B, 3, H, W)."""
        # Float first: TensorRT takes uint8 as an input but computes nothing with it.
        return (frames.float().permute(0, 3, 1, 2) - self.mean) / self.std

    @property
    def cached_shapes(self) -> tuple[tuple[int, int], ...]:
        """Tokens and channels of each group that `cacheable` returns."""
        rows, columns = self.features.grid_hw
        return tuple((rows * columns, count) for count in self.features.channels)

    def cacheable(self, frames: Tensor) -> Groups:
        """What training does not change of (B, H, W, 3) uint8 RGB frames, (B, N, C) groups."""
        return self.extract(frames).groups

    def resume(self, cached: Groups) -> Seen:
        """Go on from `cacheable` to features."""
        return self.with_image(cached)

    def volume(self, logits: Groups) -> Tensor:
        """Type volume at the map's size, (B, C, H, W): the sum of all levels' probabilities.

        `logits` are the adapters' for this detector's bank, (B, N, C) each.
        """
        if self.settings.order == "softmax-first":
            # Enlarging is linear: once for the sum instead of once per level.
            return enlarge(self.grid_volume(logits), self.map_hw)
        volumes = level_volumes(logits, self.features.grid_hw, self.map_hw, self.settings.order)
        return torch.stack(volumes).sum(0)

    def grid_volume(self, logits: Groups) -> Tensor:
        """Type volume on the grid, (B, C, h, w)."""
        total = torch.stack([level.softmax(-1) for level in logits]).sum(0)
        return total.mT.unflatten(-1, self.features.grid_hw)

    def memory_map(self, groups: Groups) -> Tensor:
        """Few-shot map on the grid, (B, 1, h, w): the mean over levels of 1 - highest cosine."""
        distances = [
            1 - (unit(group) @ bank.T).amax(-1)
            for group, bank in zip(groups, self.memory, strict=True)
        ]
        return mean_of(distances).unflatten(-1, self.features.grid_hw).unsqueeze(1)

    def image_anomaly(self, image: Tensor) -> Tensor:
        """a_x, (B,) in 0..1: 1 - p(normal) of the image vectors (B, D)."""
        logits = image @ self.bank.T / self.settings.temperature
        return 1 - logits.softmax(-1)[:, 0]

    def branches(self, groups: Groups, logits: Groups) -> Tensor:
        """Uncalibrated maps of all branches, (B, K, H, W): zero-shot in 0..1, then few-shot."""
        # All types together: 1 - p(normal) without its rounding, which is large where p is near 1.
        zero_shot = self.volume(logits)[:, 1:].sum(1, keepdim=True) / self.levels
        if not self.memory:
            return zero_shot
        return torch.cat([zero_shot, enlarge(self.memory_map(groups), self.map_hw)], 1)

    def judge(self, branches: Tensor, image: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (B, H, W) and score (B,) from branch maps and image vectors."""
        anomaly_map = self.fuse(branches)[:, 0]
        score = self.top(anomaly_map)
        share = self.settings.image_share
        if image is not None and share:
            level = (self.image_anomaly(image) - self.image_offset) / self.image_scale
            score = (1 - share) * score + share * level
        return anomaly_map, score

    def forward(self, frames: Tensor) -> TypedNetworkOutput:
        """Judge (B, H, W, 3) uint8 RGB frames already at network size.

        The softmax of the type logits is the mean probability of each row over the levels; an added
        row's is relative to that of all others together.
        """
        groups, image = self.extract(frames)
        logits = self.adapters(groups, self.bank)
        anomaly_map, score = self.judge(self.branches(groups, logits), image)
        mean = self.grid_volume(logits) / self.levels
        named = mean.clamp_min(LEAST_PROBABILITY).log()
        if self.settings.added:
            named = torch.cat([named, self.added_logits(groups, logits)], 1)
        return TypedNetworkOutput(anomaly_map, score, named)

    def added_logits(self, groups: Groups, logits: Groups) -> Tensor:
        """Logits of the added types on the grid, (B, added, h, w); `logits` are the bank's."""
        # As logarithms: with a small temperature the ratio may exceed what a float holds.
        relative = [
            own - level.logsumexp(-1, keepdim=True)
            for own, level in zip(self.adapters(groups, self.added), logits, strict=True)
        ]
        mean = torch.stack(relative).logsumexp(0) - math.log(self.levels)
        return mean.clamp_min(math.log(LEAST_PROBABILITY)).mT.unflatten(-1, self.features.grid_hw)

    @torch.no_grad()
    def set_texts(self, rows: Tensor) -> None:
        """Take the unit text rows (1 + K, D) of normal and the K types."""
        self.bank.copy_(rows)

    @torch.no_grad()
    def set_memory(self, groups: Groups) -> None:
        """Fill the few-shot memory with all patch tokens of k good frames, (k, N, C_g) each."""
        for bank, group in zip(self.memory, groups, strict=True):
            bank.copy_(unit(group.flatten(0, 1)))

    @torch.no_grad()
    def calibrate(self, branches: Tensor, images: Tensor | None) -> None:
        """Bring all branches to the scale of good frames held out of training.

        Args:
            branches: (n, K, H, W) of those frames.
            images: their (n, D) image vectors, if the backbone has them; without a share in the
                score they may be of another width than the bank.
        """
        self.fuse.calibrate(branches)
        self.fuse.scale.clamp_min_(LEAST_SCALE)
        if images is not None and self.settings.image_share:
            values = self.image_anomaly(images).double().sort().values
            middle, high = (values[round(rank * (len(values) - 1))] for rank in (0.5, 0.999))
            self.image_offset.copy_(middle)
            self.image_scale.copy_((high - middle).clamp_min(LEAST_SCALE))

    def _features(self) -> PyramidFeatures | VitFeatures | ClipFeatures:
        backbone, (width, height) = self.settings.backbone, self.settings.size_wh
        if not isinstance(backbone, ClipSettings):
            return build_features(backbone, (width, height))
        clip = ClipShape(**backbone.model_dump(exclude={"name", "taps"}))
        grid_hw = (height // backbone.patch, width // backbone.patch)
        return ClipFeatures(ClipVision(clip, backbone.taps, grid_hw))
