"""The selector of parts on a belt: ids, counts, faults, pictures that the settings name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.simulator.belt import BeltSource
from edge.cameras.simulator.belt_motion import BeltPlan
from edge.cameras.source import frame_now
from edge.config.part import PartSettings
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.frame import Frame
from edge.picture_file import encode_picture
from edge.station.capture.presence_selector import (
    BLIND_AFTER,
    PresenceSelector,
    make_selector,
)
from edge.station.capture.selection import EveryFrame
from edge.station.check import check_station
from edge.station.station import Station
from tests.support.bundles import DEMO_BUNDLE

PLAN = BeltPlan(view=160, part=55, speed=9, gap=30)


def frames(parts: int = 6, plan: BeltPlan = PLAN) -> list[Frame]:
    source = BeltSource("top", plan, size_wh=(160, 120), parts=parts)
    source.open()
    seen = []
    while (frame := source.read()) is not None:
        seen.append(frame)
    return seen


def presence(**changes: object) -> PartSettings:
    return PartSettings.model_validate({"by": "presence", **changes})


def chosen_of(seen: list[Frame], selector: PresenceSelector) -> list[Frame]:
    chosen = [part for frame in seen if (part := selector.take(frame)) is not None]
    while (owed := selector.finish()) is not None:
        chosen.append(owed)
    return chosen


def test_without_presence_every_frame_is_a_part() -> None:
    assert isinstance(make_selector(PartSettings(), DropCounts(), is_live=True), EveryFrame)


def test_parts_have_running_ids_and_keep_the_truth() -> None:
    seen = frames()
    chosen = chosen_of(seen, PresenceSelector(presence(), DropCounts(), is_live=False))
    parts = [frame.part for frame in chosen if frame.part is not None]
    assert [part.id for part in parts] == [f"presence-{n}" for n in range(1, 7)]
    assert {part.id_source for part in parts} == {"presence"}
    truth = {frame.frame_id: frame.part.label for frame in seen if frame.part is not None}
    assert [part.label for part in parts] == [truth[frame.frame_id] for frame in chosen]


def test_every_frame_is_counted_once() -> None:
    seen, drops = frames(), DropCounts()
    seen[60] = replace(seen[60], pixels_bgr=None, fault="broken")
    chosen = chosen_of(seen, PresenceSelector(presence(), drops, is_live=False))
    counts = drops.snapshot()
    assert {where for where, _ in counts} == {"presence"}
    assert counts["presence", "learning"] == 25
    assert counts["presence", "unreadable"] == 1
    assert counts["presence", "no_part"] > 0
    assert drops.total + len(chosen) == len(seen)


def test_a_blind_camera_is_told_and_not_passed_over() -> None:
    selector = PresenceSelector(presence(), DropCounts(), is_live=True)
    broken = [frame_now("top", i, None, fault="broken") for i in range(10)]
    assert [frame for frame in broken if selector.take(frame)] == broken[BLIND_AFTER - 1 :]


def test_a_camera_that_sees_only_darkness_is_told() -> None:
    selector = PresenceSelector(presence(), DropCounts(), is_live=True)
    for frame in frames(1)[:30]:
        selector.take(frame)
    dark = [frame_now("top", i, np.zeros((120, 160, 3), np.uint8)) for i in range(30, 40)]
    assert [frame for frame in dark if selector.take(frame)] == dark[BLIND_AFTER - 1 :]


def test_a_wrong_axis_is_said(caplog: pytest.LogCaptureFixture) -> None:
    selector = PresenceSelector(presence(axis="vertical"), DropCounts(), is_live=True)
    assert len(chosen_of(frames(12, replace(PLAN, gap=400)), selector)) < 3
    assert "check part.axis" in caplog.text


@pytest.mark.parametrize("key", ["belt", "product"])
def test_a_picture_that_is_missing_or_of_another_size_is_one_line(tmp_path: Path, key: str) -> None:
    settings = {key: tmp_path / "none.png"}
    if key == "product":
        settings["product_mask"] = tmp_path / "none.png"
    with pytest.raises(ConfigError, match=rf"part\.{key}: .*none\.png"):
        PresenceSelector(presence(**settings), DropCounts(), is_live=False)
    small = tmp_path / "small.png"
    small.write_bytes(encode_picture(np.full((60, 80, 3), 40, np.uint8)))
    if key == "belt":
        selector = PresenceSelector(presence(belt=small), DropCounts(), is_live=False)
        with pytest.raises(ConfigError, match=r"expected a picture of 160x120 .* found 80x60"):
            selector.take(frames(1)[0])
    else:
        with pytest.raises(ConfigError, match="product and belt, found only one"):
            PresenceSelector(
                presence(product=small, product_mask=small), DropCounts(), is_live=False
            )


def config(source: str, **part: object) -> StationConfig:
    values = {
        "node": "n",
        "station": "s",
        "bundle": DEMO_BUNDLE,
        "camera": {"source": source},
        "part": {"by": "presence", **part},
        "mqtt": {"broker": "none"},
    }
    return StationConfig.model_validate(values)


@pytest.mark.parametrize("rate", ["", "&fps=400"])
def test_a_station_judges_each_part_on_the_belt_once(tmp_path: Path, rate: str) -> None:
    results: list[dict] = []
    source = f"test://belt?size=160x120&speed=9&parts=6&reverse=3:14&stop=2:8{rate}"
    Station(config(source), tmp_path, on_result=results.append).run()
    assert [result["part"]["id"] for result in results] == [f"presence-{n}" for n in range(1, 7)]
    assert {result["part"]["id_source"] for result in results} == {"presence"}
    assert "error" not in {result["result"] for result in results}


def test_a_check_of_the_station_reads_the_pictures(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part\.belt"):
        check_station(config("test://belt", belt=tmp_path / "none.png"))
