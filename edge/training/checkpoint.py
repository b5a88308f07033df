"""The checkpoint of an unfinished training: tensors, how far it came, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.networks.state_file import write_tensors

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings"

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: by name; names of a group begin with its prefix and a dot.
        progress: how far the training came, in the trainer's own words.
    """

    tensors: State
    progress: dict[str, str]

    def part(self, prefix: str) -> State:
        """The tensors of one group, without its prefix."""
        start = f"{prefix}."
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


def write_checkpoint(
    folder: Path, parts: Mapping[str, Mapping[str, Tensor]], settings: str, **progress: str
) -> None:
    """Write the checkpoint of `folder`.

    Args:
        folder: of the run.
        parts: groups of tensors by prefix.
        settings: of the training, as JSON; only a training with the same ones goes on from here.
        progress: how far the training came.
    """
    tensors = {
        f"{prefix}.{name}": value for prefix, part in parts.items() for name, value in part.items()
    }
    write_tensors(folder / CHECKPOINT, tensors, {**progress, SETTINGS: settings})


def read_checkpoint(folder: Path, settings: str) -> Checkpoint | None:
    """Read the checkpoint of `folder`; None if there is none.

    Raises:
        TrainingError: it was written with other settings.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with safe_open(str(path), framework="pt") as file:
        metadata = dict(file.metadata() or {})
    if metadata.pop(SETTINGS, None) != settings:
        raise TrainingError(
            f"{path}: made with other training settings; use the same options, or --fresh"
        )
    return Checkpoint(load_file(path), metadata)


def delete_checkpoint(folder: Path) -> None:
    """Delete the checkpoint once the finished model is written."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> State:
    """What the optimiser remembers of each parameter, by "key.name"; keys hold no dot."""
    return {
        f"{key}.{name}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: State
) -> None:
    """Give the optimiser what `optimizer_state` returned."""
    for entry, value in state.items():
        key, _, name = entry.partition(".")
        if name in parameters:
            optimizer.state[parameters[name]][key] = value
