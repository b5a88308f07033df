"""Write the text files of a bundle, hash its files and move it into place."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from pydantic import BaseModel

from edge import atomic_file
from edge.bundle.store import MANIFEST, sha256
from edge.errors import ToolchainError


def check_free(out: Path) -> None:
    """Refuse an output folder that holds something else than a bundle.

    Raises:
        ToolchainError: it does.
    """
    if out.exists() and not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise ToolchainError(f"--out {out}: exists and is no bundle; choose another folder")


def swap(folder: Path, out: Path) -> None:
    """Put the bundle `folder` in the place of what stands at `out`."""
    old = out.with_name(f".{out.name}.old")
    if out.exists():
        if old.exists():
            shutil.rmtree(old)
        out.replace(old)
    folder.replace(out)
    if old.exists():
        shutil.rmtree(old)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path inside the bundle, as the manifest records them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def write_json(path: Path, model: BaseModel) -> None:
    """Write a model as JSON."""
    write_text(path, model.model_dump_json(indent=2, by_alias=True))


def write_yaml(path: Path, model: BaseModel) -> None:
    """Write a model as YAML, in the order of its fields."""
    data = model.model_dump(mode="json")
    write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None))


def write_text(path: Path, text: str) -> None:
    """Write a text that ends with a line break, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write_text(path, text if text.endswith("\n") else text + "\n")
