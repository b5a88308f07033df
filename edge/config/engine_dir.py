"""Where compiled engines and their parity records are kept: they can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def find_engine_dir(option: Path | None) -> Path:
    """Return the folder asked for, else EDGE_ENGINE_DIR, else one in the service's or user's cache.

    systemd names the service's cache in CACHE_DIRECTORY.
    """
    if option is not None:
        return option
    chosen = os.environ.get("EDGE_ENGINE_DIR")
    if chosen:
        return Path(chosen)
    service = os.environ.get("CACHE_DIRECTORY")
    if service:
        return Path(service) / "engines"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edge-infer" / "engines"
