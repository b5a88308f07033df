"""The whole network: frame in, map and score out. This is what trains, exports and judges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge.models.anomaly_map import CalibratedSum, GroupDistance, SmoothMap, TopMean
from edge.models.backbones.dinov2 import DinoV2, VitShape
from edge.models.backbones.efficientnet_lite import EfficientNetLite0
from edge.models.features import Groups, PyramidFeatures, VitFeatures
from edge.models.inp_former import InpFormer, InpFormerSettings
from edge.models.settings import ModelSettings, PyramidSettings


class Judgement(NamedTuple):
    """Output of the network.

    Attributes:
        map: (B, H / map stride, W / map stride) float32; around 0 on good pixels, see
            CalibratedSum.
        score: (B,) float32.
    """

    map: Tensor
    score: Tensor


class Detector(nn.Module):
    """Normalisation, frozen features, method, fusion, map and score.

    The method's branches meet in `fuse`: today one per INP-Former group.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: ModelSettings):
        super().__init__()
        self.settings = settings
        self.features = _features(settings)
        net = settings.inp_former
        self.inp_former = InpFormer(
            InpFormerSettings(
                channels=self.features.channels,
                merge="concat" if isinstance(self.features, PyramidFeatures) else "mean",
                width=net.width,
                prototypes=net.prototypes,
                depth=net.depth,
                heads=net.heads,
                mlp_ratio=net.mlp_ratio,
            )
        )
        width, height = settings.size_wh
        map_hw = (height // settings.map.stride, width // settings.map.stride)
        self.distance = GroupDistance(self.features.channels)
        self.fuse = CalibratedSum(len(self.features.channels))
        self.smooth = SmoothMap(map_hw)
        self.score = TopMean(settings.map.top_ratio, map_hw[0] * map_hw[1])
        backbone = self.features.backbone
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def extract(self, frames: Tensor) -> Groups:
        """Frozen features of (B, H, W, 3) uint8 RGB frames: one (B, N, C_g) per group."""
        image = frames.permute(0, 3, 1, 2).float()
        return self.features((image - self.mean) / self.std)

    def branches(self, groups: Groups) -> Tensor:
        """Uncalibrated grid maps of all branches, (B, K, h, w)."""
        tokens, prototypes = self.inp_former.read(groups)
        rebuilt = self.inp_former.rebuild(tokens, prototypes)
        distances = self.distance(torch.cat(groups, -1), torch.cat(rebuilt, -1))
        height, width = self.features.grid_hw
        return distances.mT.reshape(-1, distances.shape[-1], height, width)

    def judge(self, branches: Tensor) -> Judgement:
        """Fuse branch maps (B, K, h, w) into map and score."""
        anomaly_map = self.smooth(self.fuse(branches))
        return Judgement(anomaly_map, self.score(anomaly_map))

    def forward(self, frames: Tensor) -> Judgement:
        """Judge (B, H, W, 3) uint8 RGB frames already at network size."""
        return self.judge(self.branches(self.extract(frames)))


def _features(settings: ModelSettings) -> PyramidFeatures | VitFeatures:
    backbone = settings.backbone
    if isinstance(backbone, PyramidSettings):
        return PyramidFeatures(EfficientNetLite0(backbone.taps), backbone.stride, settings.size_wh)
    width, height = settings.size_wh
    shape = VitShape(
        width=backbone.width,
        depth=backbone.depth,
        heads=backbone.heads,
        patch=backbone.patch,
        registers=backbone.registers,
        mlp_ratio=backbone.mlp_ratio,
        position_grid=backbone.position_grid,
    )
    grid_hw = (height // backbone.patch, width // backbone.patch)
    return VitFeatures(DinoV2(shape, backbone.taps, grid_hw), backbone.groups)
