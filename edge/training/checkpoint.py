"""The checkpoint of an unfinished training: tensors, how far it came, and with which settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.networks.state_file import read_safetensors, write_tensors

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
        TrainingError: it is damaged, or was written with other settings.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_safetensors(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if metadata.pop(SETTINGS, None) != settings:
        raise TrainingError(
            f"{path}: made with other training settings; use the same options, or --fresh"
        )
    return Checkpoint(tensors, metadata)


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while the checkpoint of `folder` is put in place into one line.

    Raises:
        TrainingError: the checkpoint lacks something, or is of another network.
    """
    try:
        yield
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise _damaged(folder / CHECKPOINT, error) from error


def _damaged(path: Path, error: Exception) -> TrainingError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return TrainingError(
        f"{path}: damaged or of another network ({first}); delete it to train again on what else "
        "is there, or --fresh"
    )


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


def restore_weights(parameters: Mapping[str, Tensor], weights: State) -> None:
    """Copy weights into parameters of the same names.

    Raises:
        ValueError: one is absent or of another shape.
    """
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name not in weights or weights[name].shape != parameter.shape:
                raise ValueError(f"{name} is absent or of another shape")
            parameter.copy_(weights[name])


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: State
) -> None:
    """Give the optimiser what `optimizer_state` returned.

    Raises:
        ValueError: a value has neither its parameter's shape nor that of one number.
    """
    for entry, value in state.items():
        key, _, name = entry.partition(".")
        if name in parameters:
            if value.shape not in (parameters[name].shape, ()):
                raise ValueError(f"{entry} has the shape {tuple(value.shape)}")
            optimizer.state[parameters[name]][key] = value
