"""Fixtures that several rooms share, and the tests that need the training extra."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
from pathlib import Path

import pytest

from tests.support.made_once import made_once

# Commands under test take signals as from a terminal, also where nohup started the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

HERE = Path(__file__).parent
# Rooms whose tests train or build something.
TRAINING_ROOMS = ("data", "evaluation", "methods", "networks", "toolchain", "training")
NEEDED = ("torch", "onnx", "safetensors")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot even be imported."""
    is_left_out = MISSING and any(collection_path == HERE / room for room in TRAINING_ROOMS)
    return True if is_left_out else None


def pytest_report_header() -> str | None:
    """Say what is left out."""
    if not MISSING:
        return None
    return (
        f"{', '.join(MISSING)} not installed (pip install 'edge-inspection[train]'): "
        f"no tests of {', '.join(TRAINING_ROOMS)}"
    )


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the state of commands and the key of engines out of the user's own folder."""
    os.environ["EDGE_STATE_DIR"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def usual_log() -> None:
    """Undo what a command, run within the process by an earlier test, asked of the log."""
    logging.getLogger().setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MVTec-layout set of simulated plates: 40 good to train on, 10 + 5x4 to test."""
    from edge.cameras.simulator.image_set import write_conveyor_set

    def make(folder: Path) -> None:
        sizes = {"train_good": 40, "test_good": 10, "per_type": 4, "size_wh": (160, 128)}
        write_conveyor_set(folder, **sizes, seed=1)

    return made_once(tmp_path_factory, "plates", make)


@pytest.fixture(scope="session")
def run(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short lite run on the plates, with the real backbone weights."""
    from edge.methods.inp_former.fit import fit
    from edge.methods.inp_former.request import Request
    from edge.methods.inp_former.training_settings import TrainingSettings
    from edge.methods.presets import find_preset

    request = Request(
        data=plates,
        preset=find_preset("lite"),
        size_wh=(160, 128),
        training=TrainingSettings(steps=150, tokens=0, warmup=20, probe_defects=35),
    )
    return made_once(
        tmp_path_factory,
        "plates-run",
        lambda folder: fit(request, folder, lambda _stage, _total: lambda _done: None),
    )
