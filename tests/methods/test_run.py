"""A run whose weights are damaged ends in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.errors import TrainingError
from edge.methods.run import read_model, read_record
from edge.training.run_folder import MODEL


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_weights_are_named(run: Path, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    data = (folder / MODEL).read_bytes()
    damaged = {"cut": data[: len(data) // 2], "text": b"no weights at all", "empty": b""}[damage]
    (folder / MODEL).write_bytes(damaged)
    with pytest.raises(
        TrainingError, match=r"model\.safetensors: damaged .*; train again"
    ) as caught:
        read_model(folder, read_record(folder))
    assert "\n" not in str(caught.value)
