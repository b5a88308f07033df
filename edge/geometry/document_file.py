"""Writes sections of a YAML document, and leaves its other sections and comments as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from edge.atomic_file import write_text
from edge.errors import ConfigError

# From a key in the first column up to the next line that begins there.
_SECTION = r"^{key}:.*\n(?:(?:[ \t-].*|[ \t]*)\n)*"


def write_sections(path: Path, sections: Mapping[str, BaseModel]) -> None:
    """Put sections into the file at `path`, which may be absent; it is written whole or not at all.

    Raises:
        ConfigError: the file is there, but is no YAML document with keys.
        WriteError: it cannot be written; it is as it was.
    """
    text, whole = _read(path)
    for key, document in sections.items():
        value = document.model_dump(mode="json", exclude_none=True)
        whole[key] = value
        block = _dumped({key: value})
        pattern = re.compile(_SECTION.format(key=re.escape(key)), re.MULTILINE)
        if pattern.search(text):
            text = pattern.sub(lambda _, block=block: block, text, count=1)  # type: ignore[misc]
        else:
            text += block
    if _loaded(text) != _loaded(_dumped(whole)):
        # Keys in braces or quotes: what is said stays, how it is written and comments do not.
        text = _dumped(whole)
    write_text(path, text)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    whole = _loaded(text)
    if whole is not None and not isinstance(whole, dict):
        raise ConfigError(f"{path}: expected a YAML file with keys; choose another name for --out")
    if text and not text.endswith("\n"):
        text += "\n"
    return text, whole or {}


def _dumped(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, default_flow_style=None, width=100)


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
