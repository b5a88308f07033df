"""Checkpoints on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from edge.errors import TrainingError
from edge.training.checkpoint import (
    CHECKPOINT,
    delete_checkpoint,
    optimizer_state,
    read_checkpoint,
    restore_optimizer,
    restore_weights,
    restoring,
    write_checkpoint,
)

SETTINGS = json.dumps({"seed": 1})


def test_a_checkpoint_comes_back_part_by_part(tmp_path: Path) -> None:
    parts = {"weight": {"a.b": torch.ones(2, 3)}, "state": {"step.a.b": torch.tensor(4.0)}}
    write_checkpoint(tmp_path, parts, SETTINGS, step="7")
    found = read_checkpoint(tmp_path, SETTINGS)
    assert found is not None
    assert torch.equal(found.part("weight")["a.b"], torch.ones(2, 3))
    assert found.part("state") == {"step.a.b": torch.tensor(4.0)}
    assert found.progress == {"step": "7"}
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT], "nothing lies beside it"


def test_names_on_disk_are_those_of_old_checkpoints(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"best": {"w": torch.ones(1)}}, SETTINGS, values="[0.5]")
    with safe_open(str(tmp_path / CHECKPOINT), framework="pt") as file:
        assert list(file.keys()) == ["best.w"]
        assert file.metadata() == {"values": "[0.5]", "settings": SETTINGS}


def test_other_settings_are_refused_and_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path, SETTINGS) is None
    write_checkpoint(tmp_path, {"weight": {"a": torch.ones(1)}}, SETTINGS, step="1")
    with pytest.raises(TrainingError, match="other training settings; use the same options"):
        read_checkpoint(tmp_path, json.dumps({"seed": 2}))
    delete_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path, SETTINGS) is None


def test_a_restored_optimizer_takes_the_next_step_of_the_first() -> None:
    def make() -> tuple[dict[str, nn.Parameter], torch.optim.Adam]:
        parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
        return {"layer.weight": parameter}, torch.optim.Adam([parameter], lr=0.1)

    def step(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Adam, size: float) -> None:
        parameters["layer.weight"].grad = torch.tensor([size, 1.0])
        optimizer.step()

    first, one = make()
    step(first, one, 3.0)
    state = {name: value.clone() for name, value in optimizer_state(one, first).items()}
    assert set(state) == {f"{key}.layer.weight" for key in ("step", "exp_avg", "exp_avg_sq")}
    second, other = make()
    with torch.no_grad():
        second["layer.weight"].copy_(first["layer.weight"])
    restore_optimizer(other, second, state)
    step(first, one, 0.5)
    step(second, other, 0.5)
    assert torch.equal(first["layer.weight"], second["layer.weight"])


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "text"])
def test_a_damaged_checkpoint_is_one_line_that_says_what_to_do(tmp_path: Path, damage: str) -> None:
    write_checkpoint(tmp_path, {"weight": {"a": torch.ones(100)}}, SETTINGS, step="1")
    path = tmp_path / CHECKPOINT
    data = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": data[:-7],
            "header": data.replace(b"[0,400]", b"[0,800]"),
            "text": b"not tensors at all",
        }[damage]
    )
    with pytest.raises(TrainingError, match=r"damaged .*delete it to train again .*--fresh") as e:
        read_checkpoint(tmp_path, SETTINGS)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("weights", [{}, {"a": torch.ones(1)}, {"a": torch.ones(3)}])
def test_weights_that_are_absent_or_of_another_shape_are_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    with pytest.raises(TrainingError, match="a is absent or of another shape"), restoring(tmp_path):
        restore_weights({"a": parameter}, weights)
    optimizer = torch.optim.Adam([parameter])
    with pytest.raises(ValueError, match=r"mean\.a has the shape"):
        restore_optimizer(optimizer, {"a": parameter}, {"mean.a": torch.ones(3)})
