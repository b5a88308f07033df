"""Where a station keeps what must survive a restart."""

from __future__ import annotations

import os
from pathlib import Path


def find_state_dir(option: Path | None) -> Path:
    """Return --state-dir, else EDGE_STATE_DIR, else the user's state directory."""
    if option is not None:
        return option
    chosen = os.environ.get("EDGE_STATE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "edge-infer"
