"""What the station file says of several cameras."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.station import read_station, with_overrides
from edge.errors import ConfigError
from tests.support.station_file import problems, write

HEAD = "node: n\nstation: s\n"
BUNDLE = "bundle: b\n"
TRIGGER = "trigger: {by: interval, period_s: 1}\n"
TWO = "cameras:\n  - {name: top, source: 'test://conveyor'}\n  - {name: left, source: 'test://conveyor'}\n"
LEFT = "{name: left, source: 'test://conveyor'"


def two(**left: str) -> str:
    keys = "".join(f", {key}: {value}" for key, value in left.items())
    return TWO.replace(LEFT, LEFT + keys)


def test_the_first_camera_gives_what_the_station_leaves_out(tmp_path: Path) -> None:
    top = "{name: top, source: 'test://conveyor', bundle: t, place: p.json"
    text = two(optional="true").replace("{name: top, source: 'test://conveyor'", top)
    config = read_station(write(tmp_path, HEAD + text + TRIGGER))
    assert config.camera.name == "top"
    assert config.bundle == tmp_path / "t"
    assert config.place == tmp_path / "p.json"
    assert [camera.optional for camera in config.cameras] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + BUNDLE, "camera: missing"),
        (HEAD + BUNDLE + TWO + "trigger: hardware\n", "got hardware, which is for one camera"),
        (HEAD + BUNDLE + TRIGGER + TWO + "matching: {within_ms: 9}\n", "trigger: free"),
        (HEAD + BUNDLE + "camera: {source: 'test://belt'}\nmatching: {within_ms: 9}\n",
         "matching goes with cameras"),
        (HEAD + BUNDLE + TWO + "matching: {within_ms: 0}\n", "within_ms"),
        (HEAD + BUNDLE + TWO + "part: {by: presence, camera: right}\n",
         "part.camera: expected one of top, left, got right"),
        (HEAD + BUNDLE + two(optional="true") + "part: {by: presence, camera: left}\n",
         "left watches for parts, so it cannot be optional"),
        (HEAD + BUNDLE + TRIGGER + TWO + "camera: {source: 'test://conveyor'}\n", "got both"),
        (HEAD + BUNDLE + TRIGGER + TWO.replace("left", "top"), "a name of its own"),
        (HEAD + BUNDLE + TRIGGER + two(bundle="x", recipe="y"), "one of bundle and recipe"),
        (HEAD + BUNDLE + TRIGGER + two(recipe="y"), "expected a recipe of the station (none)"),
        (HEAD + BUNDLE + TRIGGER + TWO + "place: p.json\n", "each has a place of its own"),
        (HEAD + BUNDLE + TRIGGER + TWO.replace("name: top", "name: top, optional: true"),
         "the first camera cannot be optional"),
        (HEAD + BUNDLE + TRIGGER + TWO.replace("name: top", "name: top, bundle: x"),
         "write it once"),
        (HEAD + BUNDLE + TRIGGER + TWO.replace("test://conveyor", "replay:///a"), "replay://"),
        (HEAD + TRIGGER + TWO + "recipes: {a: {bundle: b, views: {right: c}}}\nrecipe: a\n",
         "expected left, got right"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("part", ["", "part: {by: presence, camera: left}\n"])
def test_cameras_may_run_freely(tmp_path: Path, part: str) -> None:
    config = read_station(write(tmp_path, HEAD + BUNDLE + TWO + part))
    assert config.trigger.is_free
    assert (config.matching.within_ms, config.matching.frame_timeout_ms) == (50, 1000)


def test_one_camera_on_the_command_line_does_not_stand_for_several(tmp_path: Path) -> None:
    config = read_station(write(tmp_path, HEAD + BUNDLE + TRIGGER + TWO))
    with pytest.raises(ConfigError, match="several cameras"):
        with_overrides(config, camera="test://conveyor")


@pytest.mark.parametrize(
    ("example", "last"), [("views.yaml", "code"), ("free-views.yaml", "right")]
)
def test_the_example_is_a_station_file(example: str, last: str) -> None:
    config = read_station(Path(__file__).parents[2] / "configs" / example)
    assert [camera.name for camera in config.cameras] == ["top", "left", last]
