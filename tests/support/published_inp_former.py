"""INP-Former's published forward pass over a published state dict, written from its description.

Nothing of edge is used here, so that it can bear witness. Also makes random checkpoints.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Published(NamedTuple):
    """`taps`: 8 of (B, N, D); `encoder`, `decoder`: 2 of (B, D, h, w); `map`: (B, 256, 256)."""

    taps: list[Tensor]
    prototypes: Tensor
    distance: Tensor
    encoder: list[Tensor]
    decoder: list[Tensor]
    map: Tensor
    score: Tensor


def random_checkpoint(
    width: int, depth: int, heads: int, prototypes: int = 6, seed: int = 0
) -> State:
    """Make a checkpoint of plausible magnitudes; the decoder's as small as its initialisation."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 1.0, mean: float = 0.0) -> Tensor:
        return mean + std * torch.randn(shape, generator=generator)

    state: State = {"prototype_token": normal(prototypes, width)}

    def linear(name: str, inputs: int, outputs: int, std: float) -> None:
        state[f"{name}.weight"] = normal(outputs, inputs, std=std)
        state[f"{name}.bias"] = normal(outputs, std=std)

    def norm(name: str) -> None:
        state[f"{name}.weight"] = normal(width, std=0.1, mean=1.0)
        state[f"{name}.bias"] = normal(width, std=0.1)

    state["encoder.cls_token"] = normal(1, 1, width)
    state["encoder.register_tokens"] = normal(1, 4, width)
    state["encoder.mask_token"] = normal(1, width)
    state["encoder.pos_embed"] = normal(1, 1370, width, std=0.5)
    state["encoder.patch_embed.proj.weight"] = normal(width, 3, 14, 14, std=0.05)
    state["encoder.patch_embed.proj.bias"] = normal(width, std=0.1)
    spread = width**-0.5
    for block in (f"encoder.blocks.{index}" for index in range(depth)):
        norm(f"{block}.norm1")
        linear(f"{block}.attn.qkv", width, 3 * width, 2 * spread)
        linear(f"{block}.attn.proj", width, width, spread)
        state[f"{block}.ls1.gamma"] = normal(width, std=0.2, mean=0.5)
        norm(f"{block}.norm2")
        linear(f"{block}.mlp.fc1", width, 4 * width, spread)
        linear(f"{block}.mlp.fc2", 4 * width, width, spread)
        state[f"{block}.ls2.gamma"] = normal(width, std=0.2, mean=0.5)
    norm("encoder.norm")
    small = 0.01
    linear("bottleneck.0.fc1", width, 4 * width, small)
    linear("bottleneck.0.fc2", 4 * width, width, small)
    for block in ("aggregation.0", *(f"decoder.{index}" for index in range(8))):
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        if block.startswith("decoder"):
            state[f"{block}.attn.learn_scale"] = normal(heads, 1, 1, std=0.3, mean=1.0)
        linear(f"{block}.attn.q", width, width, small)
        linear(f"{block}.attn.kv", width, 2 * width, small)
        linear(f"{block}.attn.proj", width, width, small)
        linear(f"{block}.mlp.fc1", width, 4 * width, small)
        linear(f"{block}.mlp.fc2", 4 * width, width, small)
    return state


@torch.no_grad()
def published_forward(state: State, frames: Tensor, heads: int, taps: list[int]) -> Published:
    """Judge (B, 392, 392, 3) uint8 RGB frames (or another square multiple of 14)."""
    image = frames.permute(0, 3, 1, 2).float() / 255
    image = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    tokens = _embed(state, image)
    outputs = []
    for index in range(taps[-1] + 1):
        tokens = _encoder_block(state, f"encoder.blocks.{index}", tokens, heads)
        if index in taps:
            outputs.append(tokens[:, 5:])
    context = torch.stack(outputs, 1).mean(1)
    learned = state["prototype_token"].unsqueeze(0).repeat(len(frames), 1, 1)
    prototypes = _extract(state, learned, context, heads)
    cosine = F.cosine_similarity(context.unsqueeze(2), prototypes.unsqueeze(1), dim=-1)
    x = _mlp(state, "bottleneck.0", context)
    decoded = []
    for index in range(8):
        x = _decode(state, f"decoder.{index}", x, prototypes, heads)
        decoded.append(x)
    decoded.reverse()
    side = image.shape[-1] // 14
    groups = [[_picture(half, side) for half in _halves(list_)] for list_ in (outputs, decoded)]
    maps = [1 - F.cosine_similarity(e, d, dim=1) for e, d in zip(*groups, strict=True)]
    level, score = published_map(torch.stack(maps, 1), image.shape[-1])
    distance = (1 - cosine).amin(-1)
    return Published(outputs, prototypes, distance, *groups, level, score)


def published_map(maps: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Map grid distances (B, K, h, w) to the map (B, 256, 256) and the score (B,)."""
    large = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=True)
    level = large.mean(1, keepdim=True)
    level = F.interpolate(level, size=(256, 256), mode="bilinear", align_corners=False)
    kernel = torch.tensor(
        [[math.exp(-((x - 2) ** 2 + (y - 2) ** 2) / 32) for x in range(5)] for y in range(5)]
    )
    level = F.conv2d(level, (kernel / kernel.sum())[None, None], padding=2)[:, 0]
    top = level.flatten(1).sort(dim=1, descending=True).values[:, :655]
    return level, top.mean(1)


def _embed(state: State, image: Tensor) -> Tensor:
    patches = F.conv2d(
        image,
        state["encoder.patch_embed.proj.weight"],
        state["encoder.patch_embed.proj.bias"],
        stride=14,
    )
    batch, width, height, columns = patches.shape
    table = state["encoder.pos_embed"]
    grid = table[:, 1:].reshape(1, 37, 37, width).permute(0, 3, 1, 2)
    if (height, columns) != (37, 37):
        scale = ((height + 0.1) / 37, (columns + 0.1) / 37)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=False)
    assert grid.shape[-2:] == (height, columns)
    positions = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, width)], 1)
    tokens = patches.flatten(2).transpose(1, 2)
    tokens = torch.cat([state["encoder.cls_token"].expand(batch, -1, -1), tokens], 1) + positions
    registers = state["encoder.register_tokens"].expand(batch, -1, -1)
    return torch.cat([tokens[:, :1], registers, tokens[:, 1:]], 1)


def _encoder_block(state: State, name: str, x: Tensor, heads: int) -> Tensor:
    batch, count, width = x.shape
    qkv = _linear(state, f"{name}.attn.qkv", _norm(state, f"{name}.norm1", x, 1e-6))
    q, k, v = qkv.reshape(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    weights = ((q * (width // heads) ** -0.5) @ k.transpose(-2, -1)).softmax(-1)
    attended = (weights @ v).transpose(1, 2).reshape(batch, count, width)
    x = x + state[f"{name}.ls1.gamma"] * _linear(state, f"{name}.attn.proj", attended)
    hidden = _mlp(state, f"{name}.mlp", _norm(state, f"{name}.norm2", x, 1e-6))
    return x + state[f"{name}.ls2.gamma"] * hidden


def _extract(state: State, learned: Tensor, context: Tensor, heads: int) -> Tensor:
    name = "aggregation.0"
    q, k, v = _query_key_value(state, name, learned, context, heads)
    weights = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1)
    x = learned + _join(state, name, weights @ v)
    return x + _mlp(state, f"{name}.mlp", _norm(state, f"{name}.norm2", x, 1e-8))


def _decode(state: State, name: str, x: Tensor, prototypes: Tensor, heads: int) -> Tensor:
    q, k, v = _query_key_value(state, name, x, prototypes, heads)
    cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    x = _join(state, name, F.relu(cosine * state[f"{name}.attn.learn_scale"]) @ v)
    return x + _mlp(state, f"{name}.mlp", _norm(state, f"{name}.norm2", x, 1e-8))


def _query_key_value(
    state: State, name: str, x: Tensor, y: Tensor, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    batch, queries, width = x.shape
    q = _linear(state, f"{name}.attn.q", _norm(state, f"{name}.norm1", x, 1e-8))
    kv = _linear(state, f"{name}.attn.kv", _norm(state, f"{name}.norm1", y, 1e-8))
    q = q.reshape(batch, queries, heads, width // heads).permute(0, 2, 1, 3)
    k, v = kv.reshape(batch, -1, 2, heads, width // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def _join(state: State, name: str, heads: Tensor) -> Tensor:
    batch, _, count, _ = heads.shape
    return _linear(state, f"{name}.attn.proj", heads.transpose(1, 2).reshape(batch, count, -1))


def _norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _mlp(state: State, name: str, x: Tensor) -> Tensor:
    return _linear(state, f"{name}.fc2", F.gelu(_linear(state, f"{name}.fc1", x)))


def _halves(tensors: list[Tensor]) -> list[Tensor]:
    return [torch.stack(part, 1).mean(1) for part in (tensors[:4], tensors[4:])]


def _picture(tokens: Tensor, side: int) -> Tensor:
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
