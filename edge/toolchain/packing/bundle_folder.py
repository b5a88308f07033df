"""Write the text files of a bundle, hash its files and move it into place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from pydantic import BaseModel

from edge import atomic_file
from edge.bundle.manifest import MANIFEST, SIGNATURE
from edge.bundle.store import sha256
from edge.errors import ToolchainError

SCHEMA = "edge-infer.bundle/1"


def check_free(out: Path) -> Path:
    """Refuse an output folder that holds something else than a bundle.

    Returns:
        Where the bundle will lie: `out`, or what `out` links to.

    Raises:
        ToolchainError: it does, or is the folder that this process runs in.
    """
    place = out.resolve()
    if place in (Path.cwd(), *Path.cwd().parents):
        raise ToolchainError(f"--out {out}: is the folder you are in; give one inside it")
    if place.exists() and not place.is_dir():
        raise ToolchainError(f"--out {out}: expected a folder, found a file; choose another")
    if place.is_dir() and any(place.iterdir()) and not _is_bundle(place):
        raise ToolchainError(f"--out {out}: exists and is no bundle; choose another folder")
    if foreign := sorted(_files(place) - _listed(place)):
        raise ToolchainError(
            f"--out {out}: {foreign[0]} is no part of the bundle there, which would be replaced; "
            "move it elsewhere"
        )
    return place


def swap(folder: Path, place: Path) -> None:
    """Put the bundle `folder` at `place`, from `check_free`; the bundle there is deleted."""
    old = place.with_name(f".{place.name}.old")
    if old.is_symlink():
        old.unlink()
    elif _is_bundle(old):  # of a process that was killed here
        shutil.rmtree(old)
    if place.exists():
        place.replace(old)
    folder.replace(place)
    if old.exists():
        shutil.rmtree(old)


def _is_bundle(folder: Path) -> bool:
    return _manifest(folder).get("schema") == SCHEMA


def _listed(folder: Path) -> set[str]:
    files = _manifest(folder).get("files")
    # A signature signs the manifest, so it cannot be listed there.
    return {MANIFEST, SIGNATURE, *(files if isinstance(files, dict) else ())}


def _files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def _manifest(folder: Path) -> dict[str, object]:
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


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
