"""A run on disk: its record and its network; for the other files see edge.training.run_folder.

RUN/run.yaml              every setting, see run_record.RunRecord
RUN/model.safetensors     all weights and constants of the network
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edge.atomic_file import write_text
from edge.bundle.thresholds import ThresholdMethod
from edge.config.reader import read_settings
from edge.errors import ConfigError, TrainingError
from edge.methods.method import Network
from edge.methods.registry import find_method
from edge.methods.run_record import RunRecord
from edge.networks.state_file import write_tensors
from edge.training.resume import differences, in_one_line
from edge.training.run_folder import CALIBRATION, MODEL, Calibration, KindScores

RECORD = "run.yaml"
METHODS: tuple[ThresholdMethod, ...] = get_args(ThresholdMethod)
# What may differ when an unfinished run goes on.
FREE_TO_DIFFER = ("created_by", "created_at")


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.yaml."""
    data = record.model_dump(mode="json")
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
    write_text(folder / RECORD, text)


def read_record(folder: Path) -> RunRecord:
    """Read run.yaml.

    Raises:
        TrainingError: the folder is no run or its record is damaged.
    """
    if not (folder / RECORD).is_file():
        raise TrainingError(f"{folder}: not a run (no {RECORD}); train one with edge-train")
    try:
        return read_settings(folder / RECORD, RunRecord)
    except ConfigError as error:
        raise TrainingError("; ".join(error.problems)) from error


def unfinished_run(folder: Path) -> RunRecord | None:
    """The record of the run to go on with in `folder`; None where there is no run.

    Raises:
        TrainingError: the run is finished, or its record is damaged.
    """
    if not (folder / RECORD).is_file():
        return None
    if (folder / MODEL).is_file():
        raise TrainingError(f"--out {folder}: holds a finished run; choose another, or --fresh")
    return read_record(folder)


def start_run(folder: Path, record: RunRecord) -> RunRecord:
    """Write the record of a new run, or return the stored one of a run to go on with.

    Raises:
        TrainingError: `folder` holds a finished run, or one of other data or options.
    """
    stored = unfinished_run(folder)
    if stored is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
        return record
    check_same_run(folder, stored, record)
    return stored


def check_same_run(folder: Path, stored: RunRecord, wanted: RunRecord) -> None:
    """Refuse to go on with a run that was begun with other data or options.

    Raises:
        TrainingError: naming what differs.
    """
    method = stored.model.method
    if method != wanted.model.method:
        # All of the model differs, and nothing of it says more than this.
        raise other_options(folder, differences(method, wanted.model.method, "model.method"))
    there, here = (_comparable(record) for record in (stored, wanted))
    data = there["data"]
    if data["pictures_sha256"] is None:
        data["pictures_sha256"] = here["data"]["pictures_sha256"]  # of a run from before the key
    if found := differences(there, here):
        raise other_options(folder, found)


def other_options(folder: Path, found: list[str]) -> TrainingError:
    """The refusal to go on with a run; `found` names what differs from it."""
    return TrainingError(
        f"--out {folder}: holds an unfinished run with other options: {in_one_line(found)}; "
        f"repeat those (see {RECORD}), choose another folder, or --fresh"
    )


def write_model(folder: Path, network: Network) -> None:
    """Write model.safetensors."""
    write_tensors(folder / MODEL, network.state_dict())


def read_model(folder: Path, record: RunRecord) -> Network:
    """Build the run's network with its weights, in evaluation mode.

    Raises:
        TrainingError: training did not finish, the weights are damaged or do not fit the record.
    """
    path = folder / MODEL
    if not path.is_file():
        raise TrainingError(f"{folder}: training is not finished; run edge-train again to go on")
    network = find_method(record.model.method).build(record.model)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: damaged ({error}); train again with --fresh") from error
    _load(network, state, path)
    network.requires_grad_(False)
    return network.eval()


def read_calibration(folder: Path) -> Calibration:
    """Read calibration.json.

    Raises:
        TrainingError: it is missing or damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file() and read_record(folder).origin is not None:
        raise TrainingError(
            f"{folder}: imported without pictures, so it has no threshold; edge-import it again "
            "with --data GOOD_PICTURES"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(
            files=tuple(data["files"]),
            groups=tuple(data["groups"]),
            scores=tuple(float(score) for score in data["scores"]),
            grey=tuple((float(mean), float(std)) for mean, std in data.get("grey", ())),
            method=_method(data.get("method", METHODS[0])),
            synthetic=_kind_scores(data.get("synthetic", ())),
            labelled=_kind_scores(data.get("labelled", ())),
            shifted=_kind_scores(data.get("shifted", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: missing or damaged ({error}); train again") from error


def _method(name: object) -> ThresholdMethod:
    for known in METHODS:
        if name == known:
            return known
    raise ValueError(f"method: expected one of {', '.join(METHODS)}, found {name}")


def _kind_scores(pairs: Iterable[tuple[str, float]]) -> KindScores:
    return tuple((str(kind), float(score)) for kind, score in pairs)


def _comparable(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={*FREE_TO_DIFFER})


def _load(network: Network, state: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{path}: does not fit {RECORD}: {first}") from error
