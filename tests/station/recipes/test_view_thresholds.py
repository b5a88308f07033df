"""Cameras that look at one part by the same bundle: each is judged by the threshold of its view."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edge.config.station import StationConfig
from edge.station.recipes.recipes import Recipes
from tests.support.bundles import make_bundle, with_two_graphs, with_views

RNG = np.random.default_rng(0)
SCORES = {"top": RNG.normal(0.3, 0.02, 40).tolist(), "side": RNG.normal(0.6, 0.05, 40).tolist()}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_bundle(tmp_path_factory.mktemp("b"), "views", threshold=0.5)
    return with_views(with_two_graphs(made), SCORES)


def station(bundle: Path, **cameras: object) -> StationConfig:
    values = {"node": "n", "station": "s", "bundle": bundle, **cameras}
    if "cameras" in cameras:
        values["trigger"] = {"by": "software", "http_port": 8090}
    return StationConfig.model_validate(values)


def test_each_camera_has_the_threshold_of_its_view(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cameras = [{"name": name, "source": "test://conveyor"} for name in ("top", "side", "back")]
    recipes = Recipes(station(bundle, cameras=cameras))
    with caplog.at_level(logging.WARNING):
        loaded = recipes.load(recipes.first)
    thresholds = {name: loaded.of(name).bundle.thresholds.score.value for name in SCORES}
    assert thresholds["top"] < 0.4 < 0.6 < thresholds["side"]
    assert loaded.of("back").bundle.thresholds.score.value == 0.5
    (line,) = [record.getMessage() for record in caplog.records if "own" in record.getMessage()]
    assert line.startswith("no threshold of its own camera=back bundle=views views=top,side")
    set_by_command = recipes.with_threshold(loaded, 0.7)
    assert {each.bundle.thresholds.score.value for each in set_by_command.each} == {0.7}
    loaded.close()


def test_a_single_camera_is_a_view_by_its_name(bundle: Path) -> None:
    recipes = Recipes(station(bundle, camera={"name": "side", "source": "test://conveyor"}))
    loaded = recipes.load(recipes.first)
    assert loaded.bundle.view == "side"
    loaded.close()
