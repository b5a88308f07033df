"""The whole network: frame in, map and score out. This is what trains, exports and judges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.memory_bank import MemoryBank, PositionStatistics, UnitGroups
from edge.methods.inp_former.network import InpFormer, InpFormerSettings, prototype_distance
from edge.methods.inp_former.plus import ResidualHead, residual
from edge.methods.inp_former.published_map import PublishedMap
from edge.methods.inp_former.settings import ModelSettings, PyramidSettings
from edge.methods.method import Network
from edge.methods.promptmad.refiner import ReconstructionMask
from edge.methods.types.network import TypeBranch
from edge.networks.anomaly_map import CalibratedSum, GroupDistance, SmoothMap, TopMean
from edge.networks.backbones.dinov2 import DinoV2, VitShape
from edge.networks.backbones.efficientnet_lite import EfficientNetLite0
from edge.networks.features import Groups, PyramidFeatures, VitFeatures
from edge.networks.neighbourhood import Neighbourhood, mean_around
from edge.networks.output import NetworkOutput, TypedNetworkOutput

# Side of the surroundings that map.contrast compares with, in cells of the features.
CONTRAST_AROUND = 7
# Branches that were taught defects; the others are distances from good parts.
SUPERVISED = ("probe_before", "probe")


class Detector(Network):
    """Normalisation, frozen features, method, fusion, map and score.

    The method's branches meet in `fuse`: today one per INP-Former group.
    """

    mean: Tensor
    std: Tensor
    image_line: Tensor
    score_offset: Tensor
    score_slope: Tensor | None
    before_weight: Tensor | None
    before_line: Tensor | None

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
                norm_eps=net.norm_eps,
            )
        )
        width, height = settings.size_wh
        map_hw = (height // settings.map.stride, width // settings.map.stride)
        self.distance = GroupDistance(self.features.channels)
        self.centring = net.centring
        self.is_zero_shot = net.judge_by == "prototypes"
        count = 1 if self.is_zero_shot else len(self.features.channels)
        self.fuse = CalibratedSum(count, [settings.map.beyond_rare] * count)
        self.grid_hw = self.features.grid_hw
        self.head: ResidualHead | ReconstructionMask | None = None
        grid_hw, missed = self.features.grid_hw, sum(self.features.channels)
        if settings.refiner is not None:
            self._add_head(ReconstructionMask(settings.refiner, missed, grid_hw))
        elif net.head is not None and not self.is_zero_shot:
            self._add_head(ResidualHead(missed, grid_hw, net.head))
        self._add_companions()
        self._limit_score()
        self.types: TypeBranch | None = None
        if settings.types:
            self.types = TypeBranch(
                sum(self.features.channels),
                settings.text_width,
                len(settings.types),
                self.features.grid_hw,
            )
        self.smooth: SmoothMap | PublishedMap = SmoothMap(self.grid_hw, map_hw)
        if settings.map.chain == "published":
            self.smooth = PublishedMap(self.grid_hw, (height, width))
            map_hw = self.smooth.size_hw
        self.map_top = TopMean(settings.map.top_ratio, map_hw[0] * map_hw[1])
        self.grid_top: TopMean | None = None
        if settings.map.score_from == "grid":
            self.grid_top = TopMean(settings.map.top_ratio, self.grid_hw[0] * self.grid_hw[1])
            self.register_buffer("score_offset", torch.zeros(()))
        backbone = self.features.backbone
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def _add_head(self, head: ResidualHead | ReconstructionMask) -> None:
        """Let a head on the residual judge beside the reconstruction, with the same say."""
        channels = self.features.channels
        self.head = head
        self.grid_hw = head.size_hw
        self.fuse = CalibratedSum(len(channels) + 1, [*self.fuse.beyond, 1.0])
        share = 0.5 / len(channels)
        self.fuse.weight.copy_(torch.tensor([share] * len(channels) + [0.5]))

    def _add_companions(self) -> None:
        """Let branches judge that remember good parts, and one that was taught defects."""
        wanted = self.settings.branches
        channels, (height, width) = self.features.channels, self.features.grid_hw
        self.unit = UnitGroups(self.distance.groups)
        self.memory: MemoryBank | None = None
        self.position: PositionStatistics | None = None
        self.image: ImageStatistics | None = None
        self.probe_before: DefectProbe | None = None
        self.probe: DefectProbe | None = None
        self.own_branches = len(self.fuse.weight)
        if wanted.memory:
            around = Neighbourhood((height, width), wanted.memory_around)
            self.memory = MemoryBank(wanted.memory, sum(channels), around)
        if wanted.position_dims:
            self.position = PositionStatistics(height * width, sum(channels), wanted.position_dims)
        if wanted.image_dims:
            self.image = ImageStatistics(sum(channels), wanted.image_dims)
            self.register_buffer("image_line", torch.tensor([0.0, 1.0]))
        around = Neighbourhood((height, width), wanted.probe_around)
        if wanted.probe_before:
            self.probe_before = DefectProbe(sum(channels), wanted.probe_before, around)
        if wanted.probe:
            self.probe = DefectProbe(sum(channels), wanted.probe, around)
        if self.companions:
            own, beyond = self.fuse, self.settings.map.beyond_rare
            beside = [1.0 if name in SUPERVISED else beyond for name in self.companions]
            self.fuse = CalibratedSum(self.own_branches + len(beside), [*own.beyond, *beside])
            self.fuse.weight[: self.own_branches] = own.weight
            self.fuse.weight.copy_(self.weights([1.0] * len(self.companions)))
        is_kept = self.settings.map.before
        self.register_buffer("before_weight", self.fuse.weight.clone() if is_kept else None)
        self.register_buffer("before_line", torch.tensor([0.0, 1.0]) if is_kept else None)

    def _limit_score(self) -> None:
        """Let more of what a branch says beyond rare count in the score than in the map."""
        slope, wanted = None, self.settings.map.score_beyond_rare
        if wanted is not None:
            heads = int(self.head is not None)
            is_taught = [False] * (self.own_branches - heads) + [True] * heads
            is_taught += [name in SUPERVISED for name in self.companions]
            slope = torch.tensor([1.0 if taught else wanted for taught in is_taught])
        self.register_buffer("score_slope", slope, persistent=False)

    @property
    def companions(self) -> tuple[str, ...]:
        """Map branches beside INP-Former's own, in the order of `fuse`."""
        names = ("memory", "position", "probe_before", "probe")
        return tuple(name for name in names if getattr(self, name) is not None)

    def weights(self, shares: Sequence[float]) -> Tensor:
        """Weights of `fuse` where each companion's share is relative to INP-Former's, which is 1.

        INP-Former's own branches keep their weights among themselves; everything sums to 1.
        """
        own = self.fuse.weight[: self.own_branches]
        weights = torch.cat([own / own.sum(), torch.tensor(list(shares), dtype=own.dtype)])
        return weights / weights.sum()

    def extract(self, frames: Tensor) -> Groups:
        """Frozen features of (B, H, W, 3) uint8 RGB frames: one (B, N, C_g) per group."""
        # Float first: TensorRT takes uint8 as an input but computes nothing with it.
        image = frames.float().permute(0, 3, 1, 2)
        return self.features((image - self.mean) / self.std)

    def branches(self, groups: Groups) -> Tensor:
        """Uncalibrated maps of all branches on `grid_hw`, (B, K, h, w): INP-Former's first."""
        own = self._own_branches(groups)
        if not self.companions:
            return own
        tokens = torch.cat(groups, -1)
        unit = self.unit(tokens)
        found = [branch(unit) for branch in (self.memory, self.position) if branch is not None]
        # Contrast tells defects apart: probes see lengths as they are.
        probes = (self.probe_before, self.probe)
        found += [probe(tokens) for probe in probes if probe is not None]
        grids = torch.stack(found, 1).reshape(-1, len(found), *self.features.grid_hw)
        if self.grid_hw != self.features.grid_hw:
            grids = F.interpolate(grids, size=self.grid_hw, mode="bilinear", align_corners=False)
        return torch.cat([own, grids], 1)

    def image_distance(self, groups: Groups) -> Tensor | None:
        """How unusual each frame is as a whole, (B,); None without an image branch."""
        return None if self.image is None else self.image(torch.cat(groups, -1))

    def _own_branches(self, groups: Groups) -> Tensor:
        tokens, prototypes = self.inp_former.read(groups)
        height, width = self.features.grid_hw
        if self.is_zero_shot:
            return prototype_distance(tokens, prototypes).reshape(-1, 1, height, width)
        rebuilt = self.inp_former.rebuild(tokens, prototypes)
        distances = self.distance(torch.cat(groups, -1), torch.cat(rebuilt, -1))
        grids = distances.mT.reshape(-1, distances.shape[-1], height, width)
        if self.centring:
            grids = grids - self.centring * grids.mean((2, 3), keepdim=True)
        if self.head is None:
            return grids
        logits = self.head(residual(groups, rebuilt))
        # Logits tell more defects apart than probabilities near 0; the published map, which is not
        # calibrated, averages probabilities.
        seen = logits.sigmoid() if self.settings.map.chain == "published" else logits
        grids = F.interpolate(grids, size=self.grid_hw, mode="bilinear", align_corners=False)
        return torch.cat([grids, seen], 1)

    def fused(self, branches: Tensor) -> tuple[Tensor, Tensor]:
        """What the map draws and what the score reads, (B, 1, h, w) each, from (B, K, h, w)."""
        level = self.fuse.level(branches)
        drawn, scored = self.weighed(level, self.fuse.weight)
        if self.before_weight is None or self.before_line is None:
            return drawn, scored
        offset, slope = self.before_line
        was_drawn, was_scored = self.weighed(level, self.before_weight)
        return (
            torch.maximum(drawn, offset + slope * was_drawn),
            torch.maximum(scored, offset + slope * was_scored),
        )

    def weighed(self, level: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Map and score as in `fused`, from (B, K, h, w) levels by one `weight` (K,) alone."""
        drawn = scored = self.fuse.weigh(level, weight, self.fuse.drawn_slope)
        if self.score_slope is not None:
            scored = self.fuse.weigh(level, weight, self.score_slope)
        return self._contrasted(drawn), scored

    def _contrasted(self, grid: Tensor) -> Tensor:
        """Add to (B, 1, h, w) some of what every cell is above the mean around it."""
        share = self.settings.map.contrast
        if not share:
            return grid
        cells = self.grid_hw[0] // self.features.grid_hw[0]  # a head's grid may be finer
        side = CONTRAST_AROUND * cells // 2 * 2 + 1
        return grid + share * (grid - mean_around(grid, side))

    def judge(self, branches: Tensor, image_distance: Tensor | None = None) -> NetworkOutput:
        """Fuse branch maps (B, K, h, w), and image distances (B,), into map and score."""
        drawn, scored = self.fused(branches)
        anomaly_map = self.smooth(drawn)
        if self.grid_top is None:
            score = self.map_top(anomaly_map)
        else:
            score = self.grid_top(scored) + self.score_offset
        if image_distance is not None:
            offset, slope = self.image_line
            score = torch.maximum(score, offset + slope * image_distance)
        return NetworkOutput(anomaly_map, score)

    def forward(self, frames: Tensor) -> NetworkOutput | TypedNetworkOutput:
        """Judge (B, H, W, 3) uint8 RGB frames already at network size."""
        groups = self.extract(frames)
        judged = self.judge(self.branches(groups), self.image_distance(groups))
        if self.types is None:
            return judged
        return TypedNetworkOutput(*judged, self.types(torch.cat(groups, -1)))


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
