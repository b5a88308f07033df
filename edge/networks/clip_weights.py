"""CLIP weights from `transformers` folders and hub names, and from OpenAI or OpenCLIP state dicts.

Either is read as data only (safetensors, or torch.load with weights_only) and translated into the
names of edge.networks.backbones.clip and edge.networks.text.clip_text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge.errors import TrainingError
from edge.networks.backbones.clip import Activation, ClipShape
from edge.networks.clip_configuration import (
    TRANSFORMERS,
    activation_beside,
    activation_of,
    read_configuration,
)
from edge.networks.state_file import State, read_tensors

# CLIP's rule; `transformers` configurations say it themselves.
HEAD_WIDTH = 64
# safetensors first: it holds nothing but tensors.
WEIGHT_FILES = (
    "model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)  # fmt: skip
# Scalars that only OpenAI's own state dicts hold. Their activation differs from OpenCLIP's.
OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}

# Ours -> theirs inside a block. In OpenAI's files q, k and v are one tensor, as in ours.
OPENAI_BLOCK = {
    "norm1": "ln_1",
    "qkv": "attn.in_proj_",
    "proj": "attn.out_proj",
    "norm2": "ln_2",
    "fc1": "mlp.c_fc",
    "fc2": "mlp.c_proj",
}
TRANSFORMERS_BLOCK = {
    "norm1": "layer_norm1",
    "proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


@dataclass(frozen=True, slots=True)
class ClipFile:
    """Both towers of one source, in our names, float32; positions keep their stored grid.

    `vision` or `text` is empty if the source lacks that tower. `heads` are (vision, text).
    """

    vision: State
    text: State
    heads: tuple[int, int]
    activation: Activation

    def vision_shape(self) -> ClipShape:
        """Shape of the image tower, read off its tensors."""
        width, _, patch, _ = self.vision["patch_embed.weight"].shape
        return ClipShape(
            width=width,
            depth=depth_of(self.vision),
            heads=self.heads[0],
            patch=patch,
            projection=self.vision["projection.weight"].shape[0],
            position_grid=round((self.vision["positions"].shape[1] - 1) ** 0.5),
            mlp_ratio=self.vision["blocks.0.fc1.weight"].shape[0] // width,
            activation=self.activation,
        )


def read_clip(source: str) -> ClipFile:
    """Read CLIP weights from a folder, a hub name, or an OpenAI or OpenCLIP state-dict file.

    OpenAI's files are told from OpenCLIP's by the scalars in them and get quick_gelu. All others
    need the configuration beside them, see `clip_configuration`.

    Raises:
        TrainingError: the source cannot be read, or is no CLIP.
    """
    try:
        if Path(source).is_file():
            return _from_file(Path(source))
        return _from_folder(source)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            f"--weights {source}: expected a CLIP folder or hub name, or an "
            f"OpenAI or OpenCLIP state dict: {first}"
        ) from error


def depth_of(state: State) -> int:
    """Count the blocks of a tower in our names."""
    return 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))


def _from_file(path: Path) -> ClipFile:
    state = {name.removeprefix("module."): value for name, value in read_tensors(path).items()}
    if "visual.class_embedding" not in state:
        raise KeyError("no tensor visual.class_embedding")
    return _from_open_clip(state, path)


def _from_open_clip(state: State, path: Path) -> ClipFile:
    # Scalars of OpenAI's own files tell their activation; all others need a configuration.
    is_openai = state.keys() >= OPENAI_MARKS
    vision, text = _openai_vision(state), _openai_text(state)
    return ClipFile(
        vision,
        text,
        (_heads(vision), _heads(text) if text else 0),
        "quick_gelu" if is_openai else activation_beside(path),
    )


def _from_folder(source: str) -> ClipFile:
    # The files, not the model: names inside them are stable, those in memory are not.
    path = _weight_file(source)
    state = read_tensors(path)
    if "visual.class_embedding" in state:
        return _from_open_clip(state, path)
    config = read_configuration(_file(source, TRANSFORMERS))
    vision, text = config.get("vision_config", config), config.get("text_config", config)
    return ClipFile(
        _transformers_vision(state),
        _transformers_text(state),
        (_configured_heads(vision, 12), _configured_heads(text, 8)),
        activation_of(config, TRANSFORMERS),
    )


def _weight_file(source: str) -> Path:
    """The first weight file that a folder or hub repository has; all are read as data only."""
    missing: OSError | None = None
    for name in WEIGHT_FILES:
        try:
            return _file(source, name)
        except OSError as error:  # noqa: PERF203 - four names
            missing = missing or error
    raise missing or FileNotFoundError(source)


def _file(source: str, name: str) -> Path:
    from transformers.utils.hub import cached_file

    return Path(str(cached_file(source, name)))


def _configured_heads(config: dict[str, Any], default: int) -> int:
    # Values equal to the library's default are left out of some published files.
    return int(config.get("num_attention_heads", default))


def _heads(state: State) -> int:
    return state["blocks.0.norm1.weight"].shape[0] // HEAD_WIDTH


def _openai_vision(state: State) -> State:
    ours = {
        "class_token": state["visual.class_embedding"].reshape(1, 1, -1),
        "positions": state["visual.positional_embedding"].unsqueeze(0),
        "patch_embed.weight": state["visual.conv1.weight"],
        "projection.weight": state["visual.proj"].T,
    }
    for kind in ("weight", "bias"):
        ours[f"pre_norm.{kind}"] = state[f"visual.ln_pre.{kind}"]
        ours[f"post_norm.{kind}"] = state[f"visual.ln_post.{kind}"]
    return _float(ours | _openai_blocks(state, "visual.transformer.resblocks."))


def _openai_text(state: State) -> State:
    if "token_embedding.weight" not in state:
        return {}
    ours = {
        "tokens.weight": state["token_embedding.weight"],
        "positions": state["positional_embedding"],
        "projection.weight": state["text_projection"].T,
    }
    for kind in ("weight", "bias"):
        ours[f"final_norm.{kind}"] = state[f"ln_final.{kind}"]
    return _float(ours | _openai_blocks(state, "transformer.resblocks."))


def _openai_blocks(state: State, prefix: str) -> State:
    ours = {}
    for index in _indices(state, prefix):
        for name, theirs in OPENAI_BLOCK.items():
            for kind in ("weight", "bias"):
                joint = theirs if theirs.endswith("_") else f"{theirs}."
                ours[f"blocks.{index}.{name}.{kind}"] = state[f"{prefix}{index}.{joint}{kind}"]
    return ours


def _transformers_vision(state: State) -> State:
    tower = _tower(state, "vision_model.", "embeddings.class_embedding")
    if not tower:
        return {}
    ours = {
        "class_token": tower["embeddings.class_embedding"].reshape(1, 1, -1),
        "positions": tower["embeddings.position_embedding.weight"].unsqueeze(0),
        "patch_embed.weight": tower["embeddings.patch_embedding.weight"],
        "projection.weight": state["visual_projection.weight"],
    }
    for kind in ("weight", "bias"):
        # The library's own spelling.
        ours[f"pre_norm.{kind}"] = tower[f"pre_layrnorm.{kind}"]
        ours[f"post_norm.{kind}"] = tower[f"post_layernorm.{kind}"]
    return _float(ours | _transformers_blocks(tower))


def _transformers_text(state: State) -> State:
    tower = _tower(state, "text_model.", "embeddings.token_embedding.weight")
    if not tower:
        return {}
    ours = {
        "tokens.weight": tower["embeddings.token_embedding.weight"],
        "positions": tower["embeddings.position_embedding.weight"],
        "projection.weight": state["text_projection.weight"],
    }
    for kind in ("weight", "bias"):
        ours[f"final_norm.{kind}"] = tower[f"final_layer_norm.{kind}"]
    return _float(ours | _transformers_blocks(tower))


def _transformers_blocks(tower: State) -> State:
    ours = {}
    for index in _indices(tower, "encoder.layers."):
        source, target = f"encoder.layers.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            ours[f"{target}qkv.{kind}"] = torch.cat(
                [tower[f"{source}self_attn.{name}_proj.{kind}"] for name in "qkv"]
            )
            for name, theirs in TRANSFORMERS_BLOCK.items():
                ours[f"{target}{name}.{kind}"] = tower[f"{source}{theirs}.{kind}"]
    return ours


def _tower(state: State, prefix: str, mark: str) -> State:
    """Tensors of one tower without its prefix; empty if `mark` is not among them."""
    inside = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    return inside if mark in inside else {}


def _indices(state: State, prefix: str) -> range:
    size = len(prefix)
    return range(1 + max(int(n[size:].split(".")[0]) for n in state if n.startswith(prefix)))


def _float(state: State) -> State:
    return {name: value.float().contiguous() for name, value in state.items()}
