"""A station is built from its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cameras.simulator.conveyor import ConveyorSource
from edge.config.station import StationConfig
from edge.errors import ConfigError
from edge.station.recipes.recipes import Recipes
from edge.station.station import Station
from tests.support.bundles import DEMO_BUNDLE


def config(source: str) -> StationConfig:
    values = {
        "node": "n",
        "station": "s",
        "bundle": DEMO_BUNDLE,
        "camera": {"source": source},
        "mqtt": {"broker": "none"},
    }
    return StationConfig.model_validate(values)


@pytest.mark.parametrize("source", ["test://conveyor?parts=2", "test://conveyor?parts=2&fps=50"])
def test_the_camera_is_built_once_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    built: list[str] = []
    build = ConveyorSource.__init__

    def count(self: ConveyorSource, camera: str, address: str, **options: object) -> None:
        built.append(address)
        build(self, camera, address, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ConveyorSource, "__init__", count)
    station = Station(config(source), tmp_path)
    assert built == [source]
    station.run()
    assert built == [source]


def test_a_wrong_camera_address_shows_before_a_recipe_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipes, "load", pytest.fail)
    with pytest.raises(ConfigError, match="unknown key prats; did you mean parts"):
        Station(config("test://conveyor?prats=2"), tmp_path)


def test_a_frozen_camera_gives_no_verdict_and_one_alert(tmp_path: Path) -> None:
    results: list[dict] = []
    source = "test://conveyor?size=64x48&parts=40&fps=50&fault=freeze:3:600"
    station = Station(config(source), tmp_path, on_result=results.append)
    station.run()
    reasons = [result["reason"] for result in results]
    assert len(reasons) > 10
    assert reasons[3:] == ["repeated_frame"] * (len(reasons) - 3)
    assert {result["result"] for result in results[3:]} == {"undecided"}
    told = []
    while (post := station._states.take()) is not None:
        if post.kind == "alert":
            told.append((post.payload["code"], post.payload["state"]))
    assert told.count(("unusable_frames", "raised")) == 1


def test_files_that_all_show_one_picture_are_judged(tmp_path: Path) -> None:
    results: list[dict] = []
    station = Station(
        config(f"file://{DEMO_BUNDLE}/golden/00_good.png?loop=1"),
        tmp_path,
        on_result=results.append,
        max_frames=8,
    )
    station.run()
    assert len(results) >= 8
    assert "repeated_frame" not in {result["reason"] for result in results}
