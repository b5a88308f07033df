"""Move outlier channels of a transformer's activations into the weights that follow, before export.

A few channels far above the rest set the one scale of an activation, and the rest is lost in
rounding. Each channel j is divided by s_j = max|x_j|^a / max|w_j|^(1 - a) where it is made, and
the columns of the next layer are multiplied by it (SmoothQuant, Xiao et al. 2023, eq. 4). Made by a
LayerNorm, that is its gain and offset; behind attention, the rows of the values. The function stays
the same, and so does the number of operators. The second layer of an MLP follows a GELU, through
which no factor passes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from edge.errors import PrecisionError
from edge.networks.backbones.clip import ClipBlock
from edge.networks.backbones.dinov2 import VitBlock

Network = TypeVar("Network", bound=nn.Module)

ALPHA = 0.5
# Factors stay finite where a channel is never used.
LEAST = 1e-5


@dataclass(frozen=True, slots=True)
class _Pair:
    """What makes a layer's input channels, and the layer: `values` is set behind attention."""

    reader: nn.Linear
    norm: nn.LayerNorm | None = None
    values: nn.Linear | None = None


def has_blocks(network: nn.Module) -> bool:
    """Say whether `smoothed` knows the network's blocks."""
    return any(_pairs(block) for block in network.modules())


@torch.no_grad()
def smoothed(network: Network, frames: Sequence[Tensor], alpha: float = ALPHA) -> Network:
    """Return a copy of `network` whose transformer blocks quantize better.

    Args:
        network: holds blocks of DINOv2 or CLIP's image tower, wherever; takes one frame.
        frames: what it takes, (1, H, W, 3) uint8 RGB for a detector; good parts.
        alpha: share of the difficulty that moves into the weights, 0..1.

    Raises:
        PrecisionError: there are no frames, or the network has no such blocks.
    """
    copied = copy.deepcopy(network)
    pairs = [pair for block in copied.modules() for pair in _pairs(block)]
    if not pairs or not frames:
        what = "blocks of DINOv2 or CLIP" if frames else "frames to measure activations on"
        raise PrecisionError(f"smoothing: expected {what}, found none")
    largest = _largest_inputs(copied, [pair.reader for pair in pairs], frames)
    for pair, highest in zip(pairs, largest, strict=True):
        weights = pair.reader.weight.abs().amax(0).clamp_min(LEAST)
        factor = highest.clamp_min(LEAST) ** alpha / weights ** (1 - alpha)
        _move(pair, factor)
    return copied


def _pairs(block: nn.Module) -> list[_Pair]:
    if isinstance(block, VitBlock):
        attention, mlp = block.attn, block.mlp
        return [
            _Pair(attention.qkv, norm=block.norm1),
            _Pair(mlp.fc1, norm=block.norm2),
            _Pair(attention.proj, values=attention.qkv),
        ]
    if isinstance(block, ClipBlock):
        return [
            _Pair(block.qkv, norm=block.norm1),
            _Pair(block.fc1, norm=block.norm2),
            _Pair(block.proj, values=block.qkv),
        ]
    return []


def _largest_inputs(
    network: nn.Module, readers: Sequence[nn.Linear], frames: Sequence[Tensor]
) -> list[Tensor]:
    """Largest magnitude of every input channel of each layer, (D,) each."""
    largest = [torch.zeros(reader.in_features) for reader in readers]

    def watch(place: int) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found = inputs[0].abs().flatten(0, -2).amax(0)
            largest[place] = torch.maximum(largest[place], found)

        return readers[place].register_forward_pre_hook(note)

    handles = [watch(place) for place in range(len(readers))]
    try:
        for frame in frames:
            network(frame)
    finally:
        for handle in handles:
            handle.remove()
    return largest


def _move(pair: _Pair, factor: Tensor) -> None:
    """Divide the channels by `factor` where they are made and multiply the columns that read."""
    pair.reader.weight.mul_(factor)
    if pair.norm is not None:
        pair.norm.weight.div_(factor)
        pair.norm.bias.div_(factor)
    if pair.values is not None:
        # The last third of the rows of query, key and value.
        width = len(factor)
        pair.values.weight[-width:].div_(factor[:, None])
        pair.values.bias[-width:].div_(factor)
