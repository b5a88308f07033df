"""The parts of a detector as its settings ask for them, before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edge.methods.inp_former.branches import (
    HEAD,
    INP_FORMER,
    MEMORY,
    POSITION,
    PRELABEL_PROBE,
    PROBE,
    RECONSTRUCTION,
    Branch,
    BranchList,
    PrototypeDistance,
    ReconstructionDistance,
    fusion_weights,
)
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.memory_bank import MemoryBank, PositionStatistics
from edge.methods.inp_former.network import InpFormer, InpFormerSettings
from edge.methods.inp_former.plus import ResidualHead
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.promptmad.refiner import ReconstructionMask
from edge.methods.types.network import TypeBranch
from edge.networks.anomaly_map import GroupDistance
from edge.networks.features import Features, PyramidFeatures, build_features
from edge.networks.neighbourhood import Neighbourhood


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a detector has weights or constants in.

    Attributes:
        features: the frozen backbone.
        inp_former: the reconstruction.
        branches: of the anomaly map.
        image: branch of the image score alone; None without one.
        types: names defect types; None without one.
        score_offset: () brings scores that are read from the grid to the scale of maps; None where
            they are read from the map.
        prelabel_rescale: (2,) offset and slope that bring the pre-label map to the scale of the
            map; None without such a map.
    """

    features: Features
    inp_former: InpFormer
    branches: BranchList
    image: ImageStatistics | None
    types: TypeBranch | None
    score_offset: Tensor | None
    prelabel_rescale: Tensor | None


def new_parts(settings: ModelSettings) -> Parts:
    """Build all parts: weights that are trained are random, constants have no effect yet."""
    features = build_features(settings.backbone, settings.size_wh)
    inp_former = _inp_former(settings, features)
    return Parts(
        features=features,
        inp_former=inp_former,
        branches=new_branches(settings, features),
        image=_image(settings, features),
        types=_types(settings, features),
        score_offset=_score_offset(settings),
        prelabel_rescale=_prelabel_rescale(settings),
    )


def adapted(parts: Parts, settings: ModelSettings, scorers: Mapping[str, nn.Module]) -> Parts:
    """Parts for other branches and another map on the same backbone and network.

    Image branch, types and constants are taken over where the settings still ask for them. Scorers
    of branches are taken over, too, unless `scorers` holds another one; the branches' scales and
    weights start anew.
    """
    old = {branch.name: branch.scorer for branch in parts.branches if branch.name != INP_FORMER}
    has_image = settings.branches.image_dims > 0
    return replace(
        parts,
        branches=new_branches(settings, parts.features, {**old, **scorers}),
        image=(parts.image or _image(settings, parts.features)) if has_image else None,
        types=(parts.types or _types(settings, parts.features)) if settings.types else None,
        score_offset=_kept(parts.score_offset, _score_offset(settings)),
        prelabel_rescale=_kept(parts.prelabel_rescale, _prelabel_rescale(settings)),
    )


def new_branches(
    settings: ModelSettings, features: Features, scorers: Mapping[str, nn.Module] | None = None
) -> BranchList:
    """Build the branches that the settings ask for, around `scorers` where there are some.

    All maps of INP-Former together, and the head, if there is one, weigh alike; every other branch
    weighs as much as these together.
    """
    found = _new_scorers(settings, features)
    found |= {name: scorer for name, scorer in (scorers or {}).items() if name in found}
    count = _own_maps(found, features)
    own, size_hw = torch.full((count,), 1 / max(1, count)), features.grid_hw
    if HEAD in found:
        own = torch.tensor([0.5 / count] * count + [0.5])
        size_hw = _size_of(found[HEAD])
    branches = [
        Branch(
            name,
            scorer,
            count if name == INP_FORMER else 1,
            # Logits tell more defects apart near 0; the published map, which is not calibrated,
            # averages probabilities.
            is_probability=name == HEAD and settings.map.chain == "published",
        )
        for name, scorer in found.items()
    ]
    beside = [name for name in found if name not in RECONSTRUCTION]
    constants = {"weight": fusion_weights(own, [1.0] * len(beside)) if beside else own}
    if settings.map.keep_prelabel_map:
        constants["prelabel_weight"] = constants["weight"]
    return BranchList(branches, features.grid_hw, size_hw).changed(**constants)


def _new_scorers(settings: ModelSettings, features: Features) -> dict[str, nn.Module]:
    """Scorers of all branches in the order of their maps, with nothing fitted."""
    net, wanted, grid_hw = settings.inp_former, settings.branches, features.grid_hw
    channels, positions = sum(features.channels), grid_hw[0] * grid_hw[1]
    found: dict[str, nn.Module] = {}
    if net.judge_by == "prototypes":
        found[INP_FORMER] = PrototypeDistance(grid_hw)
    elif net.judge_by == "reconstruction":
        distance = GroupDistance(features.channels)
        found[INP_FORMER] = ReconstructionDistance(distance, grid_hw, net.map_centring)
    if settings.refiner is not None:
        found[HEAD] = ReconstructionMask(settings.refiner, channels, grid_hw)
    elif net.head is not None and net.judge_by == "reconstruction":
        found[HEAD] = ResidualHead(channels, grid_hw, net.head)
    if wanted.memory:
        around = Neighbourhood(grid_hw, wanted.memory_neighbourhood)
        found[MEMORY] = MemoryBank.empty(wanted.memory, channels, around)
    if wanted.position_dims:
        found[POSITION] = PositionStatistics.empty(positions, channels, wanted.position_dims)
    for name, kinds in ((PRELABEL_PROBE, wanted.prelabel_probe), (PROBE, wanted.probe)):
        if kinds:
            found[name] = new_probe(features, kinds, wanted.probe_neighbourhood)
    return found


def _own_maps(found: Mapping[str, nn.Module], features: Features) -> int:
    """How many maps INP-Former itself has."""
    if INP_FORMER not in found:
        return 0
    return 1 if isinstance(found[INP_FORMER], PrototypeDistance) else len(features.channels)


def new_probe(features: Features, kinds: int, neighbourhood: int) -> DefectProbe:
    """Build an unfitted probe that reads the mean over `neighbourhood` cells beside a token."""
    around = Neighbourhood(features.grid_hw, neighbourhood)
    return DefectProbe(sum(features.channels), kinds, around)


def _size_of(head: nn.Module) -> tuple[int, int]:
    assert isinstance(head, ResidualHead | ReconstructionMask)  # noqa: S101 - narrowing only
    return head.size_hw


def _inp_former(settings: ModelSettings, features: Features) -> InpFormer:
    net = settings.inp_former
    return InpFormer(
        InpFormerSettings(
            channels=features.channels,
            merge="concat" if isinstance(features, PyramidFeatures) else "mean",
            width=net.width,
            prototypes=net.prototypes,
            depth=net.depth,
            heads=net.heads,
            mlp_ratio=net.mlp_ratio,
            norm_eps=net.norm_eps,
        )
    )


def _image(settings: ModelSettings, features: Features) -> ImageStatistics | None:
    dims = settings.branches.image_dims
    return ImageStatistics(sum(features.channels), dims) if dims else None


def _types(settings: ModelSettings, features: Features) -> TypeBranch | None:
    if not settings.types:
        return None
    channels, count = sum(features.channels), len(settings.types)
    return TypeBranch(channels, settings.text_width, count, features.grid_hw)


def _kept(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None or new is None else old


def _score_offset(settings: ModelSettings) -> Tensor | None:
    return torch.zeros(()) if settings.map.score_from == "grid" else None


def _prelabel_rescale(settings: ModelSettings) -> Tensor | None:
    return torch.tensor([0.0, 1.0]) if settings.map.keep_prelabel_map else None
