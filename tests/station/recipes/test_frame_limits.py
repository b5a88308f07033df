"""A bundle from before limits of frames runs, and says so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.config.station import StationConfig
from edge.station.recipes.recipes import Recipes
from tests.support.any_frame_bundle import ANY_FRAME_BUNDLE, PACKAGED_BUNDLE

WORDS = "may pass; train and pack it again"


@pytest.mark.parametrize(("bundle", "told"), [(ANY_FRAME_BUNDLE, 1), (PACKAGED_BUNDLE, 0)])
def test_a_bundle_without_limits_is_told_once(
    bundle: Path, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = StationConfig.model_validate(
        {"node": "n", "station": "s", "bundle": bundle, "camera": {"source": "test://conveyor"}}
    )
    recipes = Recipes(config)
    with caplog.at_level(logging.WARNING):
        recipes.load("pcb_traces").close()
    assert [WORDS in record.getMessage() for record in caplog.records].count(True) == told
