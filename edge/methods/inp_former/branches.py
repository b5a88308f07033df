"""The branches of the anomaly map: named objects with their scale and their fusion weight.

A branch turns the features of a frame into one or more maps. Branches are values: fitting makes
changed copies of them and leaves those of a detector alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.inp_former.memory_bank import UnitGroups
from edge.methods.inp_former.network import InpFormer, prototype_distance
from edge.methods.inp_former.plus import residual
from edge.networks.anomaly_map import GroupDistance, normalize
from edge.networks.features import Groups

# The names of all branches, in the order of their maps.
INP_FORMER, HEAD = "inp_former", "head"
MEMORY, POSITION = "memory", "position"
PRELABEL_PROBE, PROBE = "prelabel_probe", "probe"
# Branches that read INP-Former's reconstruction or prototypes and have maps of their own size; the
# others have one value for each token.
RECONSTRUCTION = (INP_FORMER, HEAD)
# Branches that are fitted to defects; the others measure distances from good parts.
SUPERVISED = (HEAD, PRELABEL_PROBE, PROBE)
CONSTANTS = ("weight", "offset", "scale", "prelabel_weight")


class PatchFeatures:
    """The features of B frames and what branches derive from them, computed when first read.

    Attributes:
        groups: one (B, N, C_g) tensor per feature group.
    """

    def __init__(self, groups: Groups, network: InpFormer, unit_groups: UnitGroups):
        self.groups = groups
        self._network = network
        self._unit_groups = unit_groups

    @cached_property
    def tokens(self) -> Tensor:
        """All groups side by side, (B, N, C)."""
        return torch.cat(self.groups, -1)

    @cached_property
    def unit_tokens(self) -> Tensor:
        """Tokens of length one, to which every group contributes alike, (B, N, C)."""
        return self._unit_groups(self.tokens)

    @cached_property
    def merged(self) -> tuple[Tensor, Tensor]:
        """The tokens that INP-Former reads, (B, N, D), and their prototypes, (B, M, D)."""
        return self._network.read(self.groups)

    @cached_property
    def rebuilt(self) -> Groups:
        """The reconstruction of `groups`."""
        return self._network.rebuild(*self.merged)

    @cached_property
    def residual(self) -> Tensor:
        """Difference of features and reconstruction, (B, N, C)."""
        return residual(self.groups, self.rebuilt)


class ReconstructionDistance(nn.Module):
    """Cosine distance of every token to its reconstruction: one map per feature group.

    Args:
        distance: of the groups.
        grid_hw: cells of the feature grid.
        centring: share of a map's mean over the frame that is subtracted from it.
    """

    def __init__(self, distance: GroupDistance, grid_hw: tuple[int, int], centring: float):
        super().__init__()
        self.distance, self.grid_hw, self.centring = distance, grid_hw, centring

    def forward(self, features: PatchFeatures) -> Tensor:
        """Return (B, G, h, w)."""
        rebuilt = features.rebuilt
        distances = self.distance(features.tokens, torch.cat(rebuilt, -1))
        grids = distances.mT.reshape(-1, distances.shape[-1], *self.grid_hw)
        if self.centring:
            grids = grids - self.centring * grids.mean((2, 3), keepdim=True)
        return grids


class PrototypeDistance(nn.Module):
    """Cosine distance of every token to the nearest prototype of its own frame (zero-shot)."""

    def __init__(self, grid_hw: tuple[int, int]):
        super().__init__()
        self.grid_hw = grid_hw

    def forward(self, features: PatchFeatures) -> Tensor:
        """Return (B, 1, h, w)."""
        return prototype_distance(*features.merged).reshape(-1, 1, *self.grid_hw)


# What the scorer of each branch takes.
INPUTS: dict[str, Callable[[PatchFeatures], PatchFeatures | Tensor]] = {
    INP_FORMER: lambda features: features,
    HEAD: lambda features: features.residual,
    MEMORY: lambda features: features.unit_tokens,
    POSITION: lambda features: features.unit_tokens,
    # Their length tells defects apart, so probes take the tokens as they are.
    PRELABEL_PROBE: lambda features: features.tokens,
    PROBE: lambda features: features.tokens,
}


class Branch(nn.Module):
    """One source of anomaly maps, with its scale on good parts and its fusion weight.

    Args:
        name: one of the names above; it decides what the scorer takes.
        scorer: computes the maps.
        maps: k, the number of maps.
        is_probability: the scorer gives logits and the maps are their probabilities.

    Attributes:
        is_supervised: the scorer is fitted to defects.
        weight: (k,) fusion weights.
        offset, scale: (k,) median over good parts, and 99.9 % quantile minus median.
        prelabel_weight: (k,) fusion weights of the pre-label map; None without such a map.
    """

    weight: Tensor
    offset: Tensor
    scale: Tensor
    prelabel_weight: Tensor | None

    def __init__(
        self, name: str, scorer: nn.Module, maps: int = 1, *, is_probability: bool = False
    ):
        super().__init__()
        self.name, self.scorer, self.maps = name, scorer, maps
        self.is_probability = is_probability
        self.is_supervised = name in SUPERVISED
        self.register_buffer("weight", torch.zeros(maps))
        self.register_buffer("offset", torch.zeros(maps))
        self.register_buffer("scale", torch.ones(maps))
        self.register_buffer("prelabel_weight", None)

    def changed(self, scorer: nn.Module | None = None, **constants: Tensor) -> Branch:
        """Return a copy with another scorer or other CONSTANTS; it shares its scorer otherwise."""
        other = Branch(
            self.name, scorer or self.scorer, self.maps, is_probability=self.is_probability
        )
        for name in CONSTANTS:
            value = constants.get(name, getattr(self, name))
            # Cloned: slices of one tensor cannot be saved to a file of weights.
            setattr(other, name, None if value is None else value.clone())
        return other

    def forward(self, features: PatchFeatures) -> Tensor:
        """Return maps (B, k, h, w) if the branch is one of RECONSTRUCTION, else values (B, N)."""
        values: Tensor = self.scorer(INPUTS[self.name](features))
        return values.sigmoid() if self.is_probability else values


class BranchList(nn.Module):
    """The branches of a detector, in the order of their maps.

    Args:
        branches: those of RECONSTRUCTION come first.
        grid_hw: cells of the feature grid.
        size_hw: cells of the maps that are fused; a head's grid is finer than the features'.
    """

    def __init__(
        self, branches: Sequence[Branch], grid_hw: tuple[int, int], size_hw: tuple[int, int]
    ):
        super().__init__()
        self.grid_hw, self.size_hw = grid_hw, size_hw
        self.names = tuple(branch.name for branch in branches)
        for branch in branches:
            self.add_module(branch.name, branch)

    def __iter__(self) -> Iterator[Branch]:
        return (self[name] for name in self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Branch:
        branch = self._modules[name]
        assert isinstance(branch, Branch)  # noqa: S101 - narrowing only
        return branch

    @property
    def reconstruction_maps(self) -> int:
        """How many of the K maps belong to RECONSTRUCTION; they are the first ones."""
        return sum(branch.maps for branch in self if branch.name in RECONSTRUCTION)

    @property
    def weight(self) -> Tensor:
        """Fusion weights, (K,)."""
        return torch.cat([branch.weight for branch in self])

    @property
    def prelabel_weight(self) -> Tensor | None:
        """Fusion weights of the pre-label map, (K,); None without such a map."""
        weights = [branch.prelabel_weight for branch in self]
        found = [weight for weight in weights if weight is not None]
        return torch.cat(found) if found else None

    def changed(
        self, scorers: Mapping[str, nn.Module] = MappingProxyType({}), /, **constants: Tensor
    ) -> BranchList:
        """Return a copy with other scorers, by branch, or other CONSTANTS (K,) of all maps."""
        counts = [branch.maps for branch in self]
        parts = {name: values.split(counts) for name, values in constants.items()}
        branches = [
            branch.changed(
                scorers.get(branch.name),
                **{name: values[index] for name, values in parts.items()},
            )
            for index, branch in enumerate(self)
        ]
        return BranchList(branches, self.grid_hw, self.size_hw)

    def forward(self, features: PatchFeatures) -> Tensor:
        """Return the maps of all branches before they are normalized, (B, K, H, W)."""
        own = [branch(features) for branch in self if branch.name in RECONSTRUCTION]
        maps = [self._resized(grids) for grids in own]
        values = [branch(features) for branch in self if branch.name not in RECONSTRUCTION]
        if values:
            grids = torch.stack(values, 1).reshape(-1, len(values), *self.grid_hw)
            maps.append(self._resized(grids))
        return torch.cat(maps, 1) if len(maps) > 1 else maps[0]

    def normalized(self, maps: Tensor) -> Tensor:
        """Bring maps (B, K, h, w) to the scale of good parts: 0 is their median, 1 is rare."""
        offset = torch.cat([branch.offset for branch in self])
        return normalize(maps, offset, torch.cat([branch.scale for branch in self]))

    def tail_slope(self, slope: float) -> Tensor:
        """Return `slope` for the maps of unsupervised branches and 1 for the others, (K,)."""
        slopes = [torch.full((each.maps,), 1.0 if each.is_supervised else slope) for each in self]
        return torch.cat(slopes)

    def _resized(self, grids: Tensor) -> Tensor:
        if (grids.shape[2], grids.shape[3]) == self.size_hw:
            return grids
        return F.interpolate(grids, size=self.size_hw, mode="bilinear", align_corners=False)


def fusion_weights(reconstruction: Tensor, shares: Sequence[float]) -> Tensor:
    """Weights of all maps, of sum 1, (K,).

    Args:
        reconstruction: weights of the maps of RECONSTRUCTION, (0,) where it judges by nothing; they
            keep their proportions.
        shares: weight of each other branch relative to theirs together.
    """
    own = reconstruction / reconstruction.sum() if len(reconstruction) else reconstruction
    weights = torch.cat([own, torch.tensor(list(shares), dtype=own.dtype)])
    return weights / weights.sum()
