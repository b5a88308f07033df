"""The folders that this package keeps files in, all under one application name."""

from __future__ import annotations

import os
from pathlib import Path

APPLICATION = "edge-infer"
# Converted weights lay here before every folder had the application's name.
_FORMER_WEIGHTS = "edge-inspection"


def find_state_dir(option: Path | None) -> Path:
    """Return the folder of what must survive a restart, such as the outbox.

    It is `option` (--state-dir), else EDGE_STATE_DIR, else `edge-infer` in the user's state folder
    (XDG_STATE_HOME, by default ~/.local/state).
    """
    if option is not None:
        return option
    return _chosen("EDGE_STATE_DIR") or _user("XDG_STATE_HOME", ".local/state") / APPLICATION


def find_engine_dir(option: Path | None) -> Path:
    """Return the folder of compiled engines and their parity records, which can be made again.

    It is `option`, else EDGE_ENGINE_DIR, else `engines` in the cache that systemd gives a service
    (CACHE_DIRECTORY) or in `edge-infer` in the user's cache (XDG_CACHE_HOME, by default ~/.cache).
    """
    if option is not None:
        return option
    cache = _chosen("CACHE_DIRECTORY") or _user_cache() / APPLICATION
    return _chosen("EDGE_ENGINE_DIR") or cache / "engines"


def find_weights_dir() -> Path:
    """Return the folder of converted weights, which can be converted again.

    It is EDGE_CACHE_DIR, else `edge-infer/weights` in the user's cache, or the folder of former
    releases, `edge-inspection`, where that alone exists.
    """
    chosen = _chosen("EDGE_CACHE_DIR")
    if chosen:
        return chosen
    folder, former = _user_cache() / APPLICATION / "weights", _user_cache() / _FORMER_WEIGHTS
    return former if former.is_dir() and not folder.is_dir() else folder


def find_run_dir() -> Path | None:
    """Return the folder of files that live as long as the process, or None.

    It is EDGE_RUN_DIR, else the folder that systemd gives a service (RUNTIME_DIRECTORY).
    """
    return _chosen("EDGE_RUN_DIR") or _chosen("RUNTIME_DIRECTORY")


def _chosen(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _user_cache() -> Path:
    return _user("XDG_CACHE_HOME", ".cache")


def _user(variable: str, default: str) -> Path:
    return _chosen(variable) or Path.home() / default
