"""Files of a run folder that training writes in the same way for every method.

RUN/model.safetensors     all weights and constants of the network
RUN/calibration.json      scores of good parts, each by a model that did not learn from it
RUN/suspicious.csv        good pictures that look as no other part does, if there are any
RUN/frames.npz            what was measured of all good frames, see edge.data.frame_record
RUN/log.jsonl             losses
RUN/checkpoint.*          only while training is unfinished
RUN/folds/                decoders that leave parts out, only while training is unfinished
RUN/features/             cached features, only while training is unfinished
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.atomic_file import write_text
from edge.bundle.thresholds import ThresholdMethod
from edge.errors import WriteError

MODEL = "model.safetensors"
CALIBRATION = "calibration.json"
LOG = "log.jsonl"
FEATURES = "features"
FOLDS = "folds"
SUSPICIOUS = "suspicious.csv"

KindScores = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What models said of good parts that they had not learned from.

    Attributes:
        files, groups, scores: one entry per frame, in one order.
        grey: mean and deviation of the network input, in runs from before frames.npz; () in others.
        method: how the parts were kept apart, see bundle.manifest.Threshold.
        synthetic: kind and score of synthetic defects on such good frames.
        labelled: type and score of labelled defects, by a model without their part.
        shifted: change and score of some of the frames as another shift would take them.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    scores: tuple[float, ...]
    grey: tuple[tuple[float, float], ...] = ()
    method: ThresholdMethod = "split-conformal"
    synthetic: KindScores = ()
    labelled: KindScores = ()
    shifted: KindScores = ()

    def at(self, rows: Sequence[int]) -> Calibration:
        """The same calibration with some of its frames alone."""
        return replace(
            self,
            files=tuple(self.files[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            scores=tuple(self.scores[row] for row in rows),
            grey=tuple(self.grey[row] for row in rows) if self.grey else (),
        )


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json."""
    data: dict[str, object] = {
        "files": calibration.files,
        "groups": calibration.groups,
        "scores": calibration.scores,
    }
    for name in ("grey", "synthetic", "labelled", "shifted"):
        if found := getattr(calibration, name):
            data[name] = found
    if calibration.method != "split-conformal":
        data["method"] = calibration.method
    write_text(folder / CALIBRATION, json.dumps(data, indent=1))


def append_log(folder: Path, entry: Mapping[str, object]) -> None:
    """Add one line to log.jsonl."""
    try:
        with (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise WriteError(folder / LOG, error.strerror or str(error)) from error
