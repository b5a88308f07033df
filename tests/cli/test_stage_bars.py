"""Stages of a training have their number where they were planned."""

from __future__ import annotations

import pytest

from edge.cli.stage_bars import stage_bars, titled


def test_every_stage_says_which_it_is_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    with stage_bars(("features", "training", "calibration")) as progress:
        progress("features", 2)(2)
        progress("calibration", 4)(4)
    assert capsys.readouterr().err.splitlines() == [
        "stage 1 of 3: features 2/2",
        "stage 3 of 3: calibration 4/4",
    ]


@pytest.mark.parametrize("planned", [(), ("features",), ("head", "training")])
def test_without_a_plan_a_stage_has_no_number(planned: tuple[str, ...]) -> None:
    assert titled("features", planned) == "features"
