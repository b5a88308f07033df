"""Files of a run folder that training writes in the same way for every method.

RUN/model.safetensors     all weights and constants of the network
RUN/calibration.json      scores of the held-out good parts
RUN/frames.npz            what was measured of all good frames, see edge.data.frame_record
RUN/log.jsonl             losses
RUN/checkpoint.*          only while training is unfinished
RUN/features/             cached features, only while training is unfinished
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.atomic_file import write_text
from edge.errors import WriteError

MODEL = "model.safetensors"
CALIBRATION = "calibration.json"
LOG = "log.jsonl"
FEATURES = "features"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the finished model said of the held-out good parts.

    `files`, `groups` and `scores` go together, one entry per frame. `grey` (mean and deviation of
    the network input) too, in runs from before frames.npz; () in others.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    scores: tuple[float, ...]
    grey: tuple[tuple[float, float], ...] = ()


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json."""
    data: dict[str, object] = {
        "files": calibration.files,
        "groups": calibration.groups,
        "scores": calibration.scores,
    }
    if calibration.grey:
        data["grey"] = calibration.grey
    write_text(folder / CALIBRATION, json.dumps(data, indent=1))


def append_log(folder: Path, entry: Mapping[str, object]) -> None:
    """Add one line to log.jsonl."""
    try:
        with (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise WriteError(folder / LOG, error.strerror or str(error)) from error
