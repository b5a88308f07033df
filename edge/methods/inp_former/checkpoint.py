"""Checkpoints of INP-Former's published training scripts: `model.pth`, a plain state dict.

Names and shapes stand in `expected_shapes`; nothing else is taken. What our network does not have
is dropped: the mask token, the final norm and the encoder blocks after the last tap, none of which
the method reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from edge.errors import TrainingError
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import InpFormerNet, MapSettings, ModelSettings
from edge.methods.presets import tap_blocks
from edge.networks.backbones import dinov2
from edge.networks.backbones.dinov2 import VitShape, resize_positions
from edge.networks.backbones.settings import VitSettings
from edge.networks.state_file import read_tensors

SIZES = {
    "small": VitShape(width=384, depth=12, heads=6),
    "base": VitShape(width=768, depth=12, heads=12),
    "large": VitShape(width=1024, depth=24, heads=16),
}
DECODER_BLOCKS = 8
GROUPS = 2
# Extractor and decoder; the encoder's is 1e-6.
NORM_EPS = 1e-8
ENCODER = "encoder."
QUERIES = "prototype_token"
# Attention and MLP of extractor and decoder blocks: the published name, then ours.
BLOCK_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.q": "query",
    "attn.kv": "key_value",
    "attn.proj": "project",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
Shapes = dict[str, tuple[int, ...]]


def expected_shapes(shape: VitShape, prototypes: int) -> Shapes:
    """Every tensor of a checkpoint and its shape; 315 for the small model."""
    width, hidden = shape.width, shape.width * shape.mlp_ratio
    shapes: Shapes = {QUERIES: (prototypes, width)}
    shapes |= {ENCODER + name: size for name, size in _encoder_shapes(shape).items()}
    shapes |= _linear("bottleneck.0.fc1", width, hidden) | _linear(
        "bottleneck.0.fc2", hidden, width
    )
    blocks = ["aggregation.0", *(f"decoder.{index}" for index in range(DECODER_BLOCKS))]
    for block in blocks:
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
        shapes |= _linear(f"{block}.attn.q", width, width)
        shapes |= _linear(f"{block}.attn.kv", width, 2 * width)
        shapes |= _linear(f"{block}.attn.proj", width, width)
        shapes |= _linear(f"{block}.mlp.fc1", width, hidden)
        shapes |= _linear(f"{block}.mlp.fc2", hidden, width)
        if block.startswith("decoder"):
            shapes[f"{block}.attn.learn_scale"] = (shape.heads, 1, 1)
    return shapes


def read_checkpoint(path: Path, shape: VitShape) -> dict[str, Tensor]:
    """Read and check a checkpoint, from torch's format (as data only) or safetensors.

    Raises:
        TrainingError: one line; see check_checkpoint.
    """
    try:
        state = read_tensors(path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: no INP-Former checkpoint: {error}") from error
    check_checkpoint(state, shape, str(path))
    return state


def check_checkpoint(state: Mapping[str, Tensor], shape: VitShape, name: str) -> None:
    """Refuse a state dict that is not a whole checkpoint of a model of `shape`.

    Raises:
        TrainingError: one line; it names the size that the file has, if that is another one.
    """
    queries = state.get(QUERIES)
    if queries is None or queries.ndim != 2:
        raise TrainingError(
            f"{name}: no INP-Former checkpoint: expected a tensor {QUERIES} of prototypes x width"
        )
    found, depth = queries.shape[1], _depth(state)
    if (found, depth) != (shape.width, shape.depth):
        sizes = [key for key, size in SIZES.items() if (size.width, size.depth) == (found, depth)]
        advice = f"; it is {sizes[0]}: give --size {sizes[0]}" if sizes else ""
        raise TrainingError(
            f"{name}: expected width {shape.width} and {shape.depth} encoder blocks, found "
            f"{found} and {depth}{advice}"
        )
    _check_tensors(state, expected_shapes(shape, queries.shape[0]), name)


def checkpoint_settings(
    shape: VitShape, prototypes: int, size_wh: tuple[int, int], chain: str = "published"
) -> ModelSettings:
    """Settings of the detector that computes what the published network computes.

    `chain` is that of MapSettings: the published one gives the published maps and scores too.
    """
    return ModelSettings(
        size_wh=size_wh,
        backbone=VitSettings(
            name="dinov2_registers",
            width=shape.width,
            depth=shape.depth,
            heads=shape.heads,
            patch=shape.patch,
            registers=shape.registers,
            mlp_ratio=shape.mlp_ratio,
            position_grid=shape.position_grid,
            taps=tap_blocks(shape.depth),
            groups=GROUPS,
        ),
        inp_former=InpFormerNet(
            width=shape.width,
            depth=DECODER_BLOCKS,
            heads=shape.heads,
            mlp_ratio=shape.mlp_ratio,
            prototypes=prototypes,
            norm_eps=NORM_EPS,
        ),
        map=MapSettings.model_validate({"chain": chain}),
    )


def translate(state: Mapping[str, Tensor], grid_hw: tuple[int, int]) -> dict[str, Tensor]:
    """Rename a checked checkpoint to our detector's tensors, float32, positions at `grid_hw`."""
    encoder = {
        name.removeprefix(ENCODER): value
        for name, value in state.items()
        if name.startswith(ENCODER)
    }
    backbone = dinov2.from_authors(encoder)
    backbone["positions"] = resize_positions(backbone["positions"], grid_hw)
    renamed = {f"features.backbone.{name}": value for name, value in backbone.items()}
    for name, value in state.items():
        if not name.startswith(ENCODER):
            renamed[f"inp_former.{_own_name(name)}"] = value
    return {name: value.float() for name, value in renamed.items()}


def load_checkpoint(detector: Detector, state: Mapping[str, Tensor]) -> None:
    """Fill a detector made from `checkpoint_settings` with a checked checkpoint, and freeze it.

    Encoder blocks after the last tap are not built and fall away. The detector's own constants
    keep their initial values: the published map is the plain mean of the groups' distances.
    """
    translated = translate(state, detector.features.grid_hw)
    own = detector.state_dict()
    names = [name for name in own if name.startswith(("features.", "inp_former."))]
    detector.load_state_dict(own | {name: translated[name] for name in names})
    detector.requires_grad_(False)
    detector.eval()


def _check_tensors(state: Mapping[str, Tensor], expected: Shapes, name: str) -> None:
    """Refuse a state dict that lacks, adds or misshapes a tensor, with the first of each kind."""
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != tuple(shape)
    ]
    broken = [key for key in expected if key in state and not _is_finite(state[key])]
    problems = [
        f"{len(names)} {kind}, e.g. {names[0]}"
        for kind, names in (
            ("missing", missing), ("unknown", unknown), ("misshapen", misshapen),
            ("not finite numbers", broken),
        )
        if names
    ]  # fmt: skip
    if problems:
        raise TrainingError(f"{name}: of {len(expected)} tensors " + "; ".join(problems))


def _is_finite(value: Tensor) -> bool:
    return value.is_floating_point() and bool(value.isfinite().all())


def _encoder_shapes(shape: VitShape) -> Shapes:
    """Tensors of DINOv2 with registers in its authors' names."""
    width, hidden = shape.width, shape.width * shape.mlp_ratio
    shapes: Shapes = {
        "cls_token": (1, 1, width),
        "register_tokens": (1, shape.registers, width),
        "mask_token": (1, width),
        "pos_embed": (1, 1 + shape.position_grid**2, width),
        "patch_embed.proj.weight": (width, 3, shape.patch, shape.patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    block = {
        "norm1": ((width,), (width,)),
        "attn.qkv": ((3 * width, width), (3 * width,)),
        "attn.proj": ((width, width), (width,)),
        "norm2": ((width,), (width,)),
        "mlp.fc1": ((hidden, width), (hidden,)),
        "mlp.fc2": ((width, hidden), (width,)),
    }
    for index in range(shape.depth):
        for name, (weight, bias) in block.items():
            shapes[f"blocks.{index}.{name}.weight"] = weight
            shapes[f"blocks.{index}.{name}.bias"] = bias
        for name in ("ls1", "ls2"):
            shapes[f"blocks.{index}.{name}.gamma"] = (width,)
    return shapes


def _own_name(name: str) -> str:
    if name == QUERIES:
        return "prototypes"
    if name.startswith("bottleneck.0."):
        return re.sub(
            r"^bottleneck\.0\.fc([12])", lambda m: f"bottleneck.{2 * int(m[1]) - 2}", name
        )
    name = re.sub(r"^aggregation\.0\.", "extractor.", name)
    if name.endswith(".attn.learn_scale"):
        return name.replace(".attn.learn_scale", ".scale")
    published = next(key for key in BLOCK_NAMES if f".{key}." in name)
    return name.replace(f".{published}.", f".{BLOCK_NAMES[published]}.")


def _depth(state: Mapping[str, Tensor]) -> int:
    pattern = re.compile(r"encoder\.blocks\.(\d+)\.")
    return 1 + max((int(m[1]) for m in map(pattern.match, state) if m), default=-1)


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
