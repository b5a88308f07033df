"""Host tests need the training extra; without it they are skipped, and say so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.made_once import made_once

HERE = Path(__file__).parent
NEEDED = ("torch", "onnx", "safetensors")
collect_ignore_glob: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed: pip install 'edge-inspection[train]'"
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MVTec-layout set of simulated plates: 40 good to train on, 10 + 5x4 to test."""
    from edge.cameras.conveyor_set import write_conveyor_set

    def make(folder: Path) -> None:
        sizes = {"train_good": 40, "test_good": 10, "per_type": 4, "size_wh": (160, 128)}
        write_conveyor_set(folder, **sizes, seed=1)

    return made_once(tmp_path_factory, "plates", make)


@pytest.fixture(scope="session")
def run(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short lite run on the plates, with the real backbone weights."""
    from edge.models.presets import find_preset
    from edge.training.fit import Request, fit
    from edge.training.records import TrainingSettings

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
