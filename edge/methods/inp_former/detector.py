"""The whole network: frame in, anomaly map and image score out, as trained, exported and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from edge.methods.inp_former.assembly import Parts, adapted, new_parts
from edge.methods.inp_former.branches import (
    INP_FORMER,
    PatchFeatures,
    ReconstructionDistance,
)
from edge.methods.inp_former.earlier_weights import with_new_names
from edge.methods.inp_former.memory_bank import UnitGroups
from edge.methods.inp_former.published_map import PublishedMap
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.method import Network
from edge.networks.anomaly_map import GroupDistance, SmoothMap, TopMean, weighted_sum
from edge.networks.features import Groups
from edge.networks.neighbourhood import mean_around
from edge.networks.output import NetworkOutput, TypedNetworkOutput

# Side of the neighbourhood that map.local_contrast compares a cell with, in cells of the features.
CONTRAST_CELLS = 7


class Detector(Network):
    """Normalisation, frozen features, INP-Former, the branches, their fusion, map and score.

    A detector is its settings and its parts. Fitting gives new parts, and `replaced` a detector
    with them: parts are never assigned to an existing one.

    Args:
        settings: of the model.
        parts: as the settings ask for them; None builds new ones with nothing fitted.
    """

    mean: Tensor
    std: Tensor
    score_offset: Tensor | None
    prelabel_rescale: Tensor | None
    map_tail_slope: Tensor | None
    score_tail_slope: Tensor | None

    def __init__(self, settings: ModelSettings, parts: Parts | None = None):
        super().__init__()
        parts = parts or new_parts(settings)
        self.settings = settings
        self.features = parts.features
        self.inp_former = parts.inp_former
        self.branches = parts.branches
        self.image = parts.image
        self.types = parts.types
        self.register_buffer("score_offset", parts.score_offset)
        self.register_buffer("prelabel_rescale", parts.prelabel_rescale)
        self.grid_hw = self.branches.size_hw
        self.unit_groups = UnitGroups(self._group_indicator())
        drawing = settings.map
        for name, slope in (
            ("map_tail_slope", None if drawing.tail_slope == 1 else drawing.tail_slope),
            ("score_tail_slope", drawing.score_tail_slope),
        ):
            slopes = None if slope is None else self.branches.tail_slope(slope)
            self.register_buffer(name, slopes, persistent=False)
        width, height = settings.size_wh
        map_hw = (height // drawing.stride, width // drawing.stride)
        self.smooth: SmoothMap | PublishedMap = SmoothMap(self.grid_hw, map_hw)
        if drawing.chain == "published":
            self.smooth = PublishedMap(self.grid_hw, (height, width))
            map_hw = self.smooth.size_hw
        self.map_top = TopMean(drawing.top_ratio, map_hw[0] * map_hw[1])
        self.grid_top: TopMean | None = None
        if drawing.score_from == "grid":
            self.grid_top = TopMean(drawing.top_ratio, self.grid_hw[0] * self.grid_hw[1])
        backbone = self.features.backbone
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            constant = torch.tensor(values).view(1, 3, 1, 1) * 255
            self.register_buffer(name, constant, persistent=False)

    def _group_indicator(self) -> Tensor:
        """The indicator matrix (C, G) of the feature groups.

        It is the very tensor of the reconstruction's distance, if there is one: the exported graph
        then computes the sums of squares that both need only once.
        """
        if INP_FORMER in self.branches:
            own = self.branches[INP_FORMER].scorer
            if isinstance(own, ReconstructionDistance):
                return own.distance.groups
        return GroupDistance(self.features.channels).groups

    @property
    def parts(self) -> Parts:
        """Everything that the detector has weights or constants in."""
        return Parts(
            self.features, self.inp_former, self.branches, self.image, self.types,
            self.score_offset, self.prelabel_rescale,
        )  # fmt: skip

    def replaced(self, **parts: Any) -> Detector:
        """Return a detector with other parts, by the names of Parts, that shares all others."""
        return _frozen(Detector(self.settings, replace(self.parts, **parts)))

    def adapted(
        self, settings: ModelSettings, scorers: Mapping[str, nn.Module] | None = None
    ) -> Detector:
        """Return a detector for other branches and another map, see assembly.adapted."""
        return _frozen(Detector(settings, adapted(self.parts, settings, scorers or {})))

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, also under the names that files of earlier versions have for them."""
        counts = {branch.name: branch.maps for branch in self.branches}
        return super().load_state_dict(with_new_names(state_dict, counts), strict, assign)

    def extract(self, frames: Tensor) -> Groups:
        """Frozen features of (B, H, W, 3) uint8 RGB frames: one (B, N, C_g) per group."""
        # Float first: TensorRT takes uint8 as an input but computes nothing with it.
        image = frames.float().permute(0, 3, 1, 2)
        return self.features((image - self.mean) / self.std)

    def patch_features(self, groups: Groups) -> PatchFeatures:
        """Return what the branches read."""
        return PatchFeatures(groups, self.inp_former, self.unit_groups)

    def branch_maps(self, groups: Groups) -> Tensor:
        """Maps of all branches before they are normalized, (B, K, h, w) on `grid_hw`."""
        return self.branches(self.patch_features(groups))

    def image_distance(self, groups: Groups) -> Tensor | None:
        """How unusual each frame is as a whole, (B,); None without an image branch."""
        return None if self.image is None else self.image(torch.cat(groups, -1))

    def fused(self, branch_maps: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse (B, K, h, w) into the grid of the map and that of the score, (B, 1, h, w) each."""
        values = self.branches.normalized(branch_maps)
        for_map, for_score = self.weighted(values, self.branches.weight)
        prelabel_weight = self.branches.prelabel_weight
        if prelabel_weight is None or self.prelabel_rescale is None:
            return for_map, for_score
        offset, slope = self.prelabel_rescale
        prelabel_map, prelabel_score = self.weighted(values, prelabel_weight)
        return (
            torch.maximum(for_map, offset + slope * prelabel_map),
            torch.maximum(for_score, offset + slope * prelabel_score),
        )

    def weighted(self, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """As `fused`, from normalized maps (B, K, h, w) and one set of weights (K,) alone."""
        for_map = for_score = weighted_sum(values, weight, self.map_tail_slope)
        if self.score_tail_slope is not None:
            for_score = weighted_sum(values, weight, self.score_tail_slope)
        return self._with_contrast(for_map), for_score

    def _with_contrast(self, grid: Tensor) -> Tensor:
        """Add to (B, 1, h, w) a share of each cell's difference to its neighbourhood's mean."""
        share = self.settings.map.local_contrast
        if not share:
            return grid
        cells = self.grid_hw[0] // self.features.grid_hw[0]  # a head's grid may be finer
        side = CONTRAST_CELLS * cells // 2 * 2 + 1
        return grid + share * (grid - mean_around(grid, side))

    def judge(self, branch_maps: Tensor, image_distance: Tensor | None = None) -> NetworkOutput:
        """Turn branch maps (B, K, h, w) and image distances (B,) into map and score."""
        for_map, for_score = self.fused(branch_maps)
        anomaly_map = self.smooth(for_map)
        if self.grid_top is None or self.score_offset is None:
            score = self.map_top(anomaly_map)
        else:
            score = self.grid_top(for_score) + self.score_offset
        if self.image is not None and image_distance is not None:
            offset, slope = self.image.rescale
            score = torch.maximum(score, offset + slope * image_distance)
        return NetworkOutput(anomaly_map, score)

    def forward(self, frames: Tensor) -> NetworkOutput | TypedNetworkOutput:
        """Map (B, H, W, 3) uint8 RGB frames of the network's size to map and score."""
        groups = self.extract(frames)
        judged = self.judge(self.branch_maps(groups), self.image_distance(groups))
        if self.types is None:
            return judged
        return TypedNetworkOutput(*judged, self.types(torch.cat(groups, -1)))


def _frozen(detector: Detector) -> Detector:
    return detector.eval().requires_grad_(False)
