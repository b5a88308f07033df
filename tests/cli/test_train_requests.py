"""From the options of edge-train to what a method takes: which trainings leave parts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.cli.train_options import InpFormerOptions
from edge.cli.train_requests import request


@pytest.mark.parametrize(
    ("given", "folds"),
    [
        ({}, 2),
        ({"preset": "lite2"}, 2),
        ({"preset": "standard"}, 0),
        ({"preset": "standard", "folds": 3}, 3),
        ({"folds": 0}, 0),
        ({"shots": 4}, 0),
        ({"refine": True}, 0),
        ({"plus": ("head",)}, 0),
        ({"plus": ("soft-coherence",)}, 2),
        ({"instant": True}, 0),
        ({"branches": False}, 0),
    ],
)
def test_lite_is_cross_fitted_unless_that_is_dear_or_impossible(
    given: dict[str, Any], folds: int
) -> None:
    training = request("inp-former", InpFormerOptions(data=(Path("d"),), **given)).training
    assert training.folds == folds
    assert training.shares == 3 * folds
    assert training.of_fold.steps == round(0.3 * training.steps)
