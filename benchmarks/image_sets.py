"""Where the development image sets are, and the simulated textile set in the layout we read."""

from __future__ import annotations

import os
from pathlib import Path

SETS = ("magnetic_tile", "pcb_traces", "cookie", "textile")
NOMINAL_TRAIN = 700


def find_set(name: str, scratch: Path) -> Path:
    """Folder of a set: below EDGE_TEST_DATA (default ../shared/data), textile from its package."""
    if name == "textile":
        return _textile(scratch / "textile")
    folder = Path(os.environ.get("EDGE_TEST_DATA", "../shared/data")) / name
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such image set; set EDGE_TEST_DATA")
    return folder


def _textile(folder: Path) -> Path:
    """Link the package's pictures: nominal 0001-0700 to train, the rest to test."""
    import conformal_clip_data

    source = Path(conformal_clip_data.__file__).parent / "data" / "textile_images" / "simulated"
    if folder.is_dir():
        return folder
    nominal = sorted((source / "nominal").iterdir())
    parts = {
        "train/good": nominal[:NOMINAL_TRAIN],
        "test/good": nominal[NOMINAL_TRAIN:],
        "test/global": sorted((source / "global").iterdir()),
        "test/local": sorted((source / "local").iterdir()),
    }
    for name, files in parts.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file.name).symlink_to(file)
    return folder
