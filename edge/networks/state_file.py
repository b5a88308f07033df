"""State dicts as files: read as data, never as code."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from edge.atomic_file import replacing
from edge.errors import WriteError

State = dict[str, Tensor]


def read_tensors(path: Path) -> State:
    """Read a state dict from safetensors or from torch's format, as data only.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else than named tensors.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    if _is_torchscript(path):
        raise ValueError(
            f"{path.name} is a TorchScript archive, which holds code; convert it once where you "
            f"trust it: python -c \"import torch; torch.save(torch.jit.load('{path.name}', 'cpu')"
            f".state_dict(), '{path.stem}-state.pt')\", and give that file"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # on arbitrary bytes the reader fails in any way it likes
        raise ValueError(
            f"{path.name} is not a plain state dict: {type(error).__name__}: {_first_line(error)}"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path.name} holds something else than named tensors")
    return state


def read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    """Read named tensors and metadata.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is cut short, damaged or something else.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except OSError:
        raise
    except Exception as error:  # its reader has errors of its own for lies in the header
        raise ValueError(f"no whole safetensors file: {_first_line(error)}") from error


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Replace the file at `path` with named tensors as safetensors.

    Raises:
        WriteError: the file cannot be written; it is as it was.
    """
    state = {name: value.contiguous() for name, value in tensors.items()}
    with replacing(path) as part:
        try:
            save_file(state, part, metadata=metadata)
        except SafetensorError as error:
            raise WriteError(path, _first_line(error)) from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            name.split("/")[1:2] in (["code"], ["constants.pkl"]) for name in archive.namelist()
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
