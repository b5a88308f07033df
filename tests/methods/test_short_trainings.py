"""Trainings shorter than their schedule: warm-up takes half of them at most."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.mavis.trainer import cell_rows
from edge.methods.mavis.training_settings import NegationTraining
from edge.training.optimizer import learning_rate


@pytest.mark.parametrize(("epochs", "pictures"), [(1, 1), (1, 16), (1, 100), (3, 40), (30, 400)])
def test_the_terms_of_mavis_take_part_in_half_of_every_training(epochs: int, pictures: int) -> None:
    training = NegationTraining(epochs=epochs, least_steps=0)
    steps = training.steps_over(pictures)
    assert training.warmup_of(steps) == min(200, steps // 2)
    assert training.warmup_of(steps) < steps
    usual = NegationTraining()
    assert usual.warmup_of(usual.steps_over(20)) == 200


@pytest.mark.parametrize("steps", [1, 2, 20, 150, 1500])
def test_the_rate_of_inp_former_reaches_its_peak(steps: int) -> None:
    settings = TrainingSettings(steps=steps)
    rates = [
        learning_rate(step, steps, settings.peak_lr, settings.final_lr, settings.warmup_steps)
        for step in range(1, steps + 1)
    ]
    assert steps < 2 or max(rates) == pytest.approx(settings.peak_lr)
    assert settings.warmup_steps == min(100, steps // 2)


def test_a_defect_smaller_than_a_cell_keeps_one() -> None:
    ids = torch.zeros(2, 64, 64, dtype=torch.int64)
    ids[0, 10, 37] = 2
    rows = cell_rows(ids, 3, (8, 8))
    assert rows[0].view(8, 8)[1, 4] == 2
    assert (rows[0] == 2).sum() == 1
    assert (rows[1] == 0).all()
