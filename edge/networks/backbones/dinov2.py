"""DINOv2 with registers, as a plain vision transformer that exports cleanly.

Same arithmetic as `transformers`' Dinov2WithRegistersModel, whose weights it takes. Written out
here because that model resizes positions and passes an attention mask at run time, and neither
survives export to TensorRT: positions are resized once, when the network is built for its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.backbones.taps import check_taps

LAYER_NORM_EPS = 1e-6
# The published resize hands (grid + 0.1) / 37 to the interpolation as its scale; the sampled
# coordinates depend on it, so parity does too.
RESIZE_OFFSET = 0.1
# Of every published size.
HEAD_WIDTH = 64


@dataclass(frozen=True)
class VitShape:
    """Widths and counts of a vision transformer."""

    width: int
    depth: int
    heads: int
    patch: int = 14
    registers: int = 4
    mlp_ratio: int = 4
    position_grid: int = 37


class Attention(nn.Module):
    """Multi-head self-attention, without mask so that engines fuse it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        batch, count, width = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).reshape(batch, count, width))


class LayerScale(nn.Module):
    """Learned gain per channel on a residual branch."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Scale (B, T, D)."""
        return x * self.gamma


class VitMlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.fc1 = nn.Linear(width, width * ratio)
        self.fc2 = nn.Linear(width * ratio, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    """Pre-norm transformer block with layer scale."""

    def __init__(self, shape: VitShape):
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.attn = Attention(shape.width, shape.heads)
        self.ls1 = LayerScale(shape.width)
        self.norm2 = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.mlp = VitMlp(shape.width, shape.mlp_ratio)
        self.ls2 = LayerScale(shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class DinoV2(nn.Module):
    """Raw block outputs (no final norm) of the tapped blocks, patch tokens only.

    Args:
        shape: see VitShape.
        taps: block indices counted from 0, ascending; later blocks are not built.
        grid_hw: patch rows and columns of the input that the network is built for.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, shape: VitShape, taps: tuple[int, ...], grid_hw: tuple[int, int]):
        super().__init__()
        check_taps(taps, shape.depth)
        self.shape, self.taps, self.grid_hw = shape, taps, grid_hw
        width = shape.width
        self.patch_embed = nn.Conv2d(3, width, shape.patch, shape.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, shape.registers, width))
        # Position of the class token, then of each patch, already at this grid.
        self.positions = nn.Parameter(torch.zeros(1, 1 + grid_hw[0] * grid_hw[1], width))
        self.blocks = nn.ModuleList(VitBlock(shape) for _ in range(taps[-1] + 1))
        for token in (self.cls_token, self.register_tokens, self.positions):
            nn.init.trunc_normal_(token, std=0.02)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map a normalised (B, 3, H, W) image to the tapped (B, N, D) patch tokens."""
        batch = image.shape[0]
        patches = self.patch_embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(batch, -1, -1), patches], 1) + self.positions
        registers = self.register_tokens.expand(batch, -1, -1)
        # Registers carry no position; they stand between the class token and the patches.
        x = torch.cat([x[:, :1], registers, x[:, 1:]], 1)
        prefix = 1 + self.shape.registers
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                outputs.append(x[:, prefix:])
        return tuple(outputs)


def resize_positions(table: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Resize a (1, 1 + G*G, D) position table to (1, 1 + h*w, D): bicubic, no antialias."""
    side = round((table.shape[1] - 1) ** 0.5)
    if (side, side) == grid_hw:
        return table
    height, width = grid_hw
    patches = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    resized = F.interpolate(
        patches,
        scale_factor=((height + RESIZE_OFFSET) / side, (width + RESIZE_OFFSET) / side),
        mode="bicubic",
    )
    if resized.shape[-2:] != (height, width):
        raise ValueError(f"positions became {tuple(resized.shape[-2:])}, expected {grid_hw}")
    return torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def from_authors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names of the authors' own files; positions keep their grid.

    The mask token and the final norm drop out: no output of ours depends on them.
    """
    renamed = {
        "cls_token": state["cls_token"],
        "register_tokens": state["register_tokens"],
        "positions": state["pos_embed"],
        "patch_embed.weight": state["patch_embed.proj.weight"],
        "patch_embed.bias": state["patch_embed.proj.bias"],
    }
    blocks = {name: value for name, value in state.items() if name.startswith("blocks.")}
    return renamed | blocks


def shape_of(state: dict[str, Tensor]) -> VitShape:
    """Shape of the network that a state in our names, with its stored positions, belongs to."""
    width, _, patch, _ = state["patch_embed.weight"].shape
    return VitShape(
        width=width,
        depth=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
        heads=width // HEAD_WIDTH,
        patch=patch,
        registers=state["register_tokens"].shape[1],
        mlp_ratio=state["blocks.0.mlp.fc1.weight"].shape[0] // width,
        position_grid=round((state["positions"].shape[1] - 1) ** 0.5),
    )


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names in a Dinov2WithRegisters file; positions keep their grid."""
    renamed = {
        "cls_token": state["embeddings.cls_token"],
        "register_tokens": state["embeddings.register_tokens"],
        "positions": state["embeddings.position_embeddings"],
        "patch_embed.weight": state["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.bias": state["embeddings.patch_embeddings.projection.bias"],
    }
    depth = 1 + max(int(n.split(".")[2]) for n in state if n.startswith("encoder.layer."))
    for index in range(depth):
        source, target = f"encoder.layer.{index}.", f"blocks.{index}."
        attention = source + "attention.attention."
        for kind in ("weight", "bias"):
            renamed[f"{target}attn.qkv.{kind}"] = torch.cat(
                [state[f"{attention}{name}.{kind}"] for name in ("query", "key", "value")]
            )
            renamed[f"{target}attn.proj.{kind}"] = state[f"{source}attention.output.dense.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                renamed[f"{target}{name}.{kind}"] = state[f"{source}{name}.{kind}"]
        renamed[target + "ls1.gamma"] = state[source + "layer_scale1.lambda1"]
        renamed[target + "ls2.gamma"] = state[source + "layer_scale2.lambda1"]
    return renamed
