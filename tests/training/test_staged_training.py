"""Stages one after another, and a stage that goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge.config import reader
from edge.errors import TrainingError
from edge.training.checkpoint import CHECKPOINT
from edge.training.staged_training import Stage, StagedTraining


class Settings(reader.Settings):
    seed: int = 0
    weight_decay: float = 1e-4
    clip: float = 0.1


class Line(nn.Module):
    """The smallest network with a dropout, so that a step's randomness shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)
        self.drop = nn.Dropout(0.3)


def stage_of(network: Line, seen: list[float], *, stop_at: int | None = None) -> Stage:
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    target = inputs @ torch.arange(6.0)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        if stop_at is not None and len(seen) == stop_at:
            raise KeyboardInterrupt
        rows = torch.from_numpy(rng.choice(64, 8))
        guess = network.layer(network.drop(inputs[rows]))[:, 0]
        value = (guess - target[rows]).square().mean()
        seen.append(float(value.detach()))
        return value

    return Stage("line", network, loss, lambda: float(-seen[-1]), 24, 0.1)


def test_a_resumed_stage_takes_the_same_steps(tmp_path: Path) -> None:
    def make() -> Line:
        torch.manual_seed(1)
        return Line()

    whole, alone = make(), tmp_path / "a"
    alone.mkdir()
    expected: list[float] = []
    StagedTraining(whole, Settings(), alone).run(stage_of(whole, expected), lambda _: None)
    cut, folder = make(), tmp_path / "b"
    folder.mkdir()
    first: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        StagedTraining(cut, Settings(), folder).run(
            stage_of(cut, first, stop_at=14), lambda _: None
        )
    again, rest = make(), []
    staged = StagedTraining(again, Settings(), folder)
    value = staged.run(stage_of(again, rest), lambda _: None)
    # Eight validations in 24 steps: the last checkpoint before step 14 is after step 12.
    assert len(rest) == 12
    assert rest == pytest.approx(expected[12:], rel=1e-6)
    assert torch.equal(again.layer.weight, whole.layer.weight)
    assert value == pytest.approx(-min(expected[2::3]))
    # A third start finds the stage done and takes no step at all.
    done: list[float] = []
    third = make()
    assert (
        StagedTraining(third, Settings(), folder).run(stage_of(third, done), lambda _: None)
        == value
    )
    assert done == []
    assert torch.equal(third.layer.weight, whole.layer.weight)
    with pytest.raises(TrainingError, match="other training settings"):
        StagedTraining(make(), Settings(seed=1), folder)
    staged.clear()
    assert not (folder / CHECKPOINT).exists()
