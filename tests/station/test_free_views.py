"""A whole station with several cameras that run freely: one result per part, from all sides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.messages.payload import schema
from edge.station.acquisition.acquire import make_capture, make_sources, request_trigger
from edge.station.capture.mailbox import Mailbox
from edge.station.check import check_station
from tests.support.triggered_line import LIMIT_S, Line

# All parts cross the view within a second or two of a quiet machine.
BELT = "test://belt?size=64x48&fps=100&empty=26&parts=3&defect_rate=0"
ENDLESS = "test://conveyor?size=32x32&fps=100&defect_rate=0"
# Simulated belts drift apart on a busy machine; which frame is nearest is tested elsewhere.
WIDE = {"within_ms": 10_000, "frame_timeout_ms": 60_000}
Make = Callable[..., Line]


@pytest.fixture
def line(tmp_path: Path, fast_bundle: Path) -> Iterator[Make]:
    lines: list[Line] = []

    def make(*cameras: dict, **changes) -> Line:
        values = {"camera": None, "cameras": list(cameras), "matching": WIDE, **changes}
        one = Line(tmp_path, fast_bundle, "", {"by": "free"}, **values)
        lines.append(one)
        return one

    yield make
    for each in lines:
        each.stop()


def view(name: str, source: str, **changes) -> dict:
    return {"name": name, "source": source, "queue_size": 64, **changes}


def checked(result: dict) -> dict:
    assert list(Draft202012Validator(schema("result")).iter_errors(result)) == []
    return result


def views_of(result: dict) -> list[tuple[str, str]]:
    return [(each["camera"], each["reason"]) for each in result["views"]]


def config_of(folder: Path, *cameras: dict, **changes) -> StationConfig:
    values = {"node": "n", "station": "s", "bundle": folder, "cameras": list(cameras), **changes}
    return StationConfig.model_validate(values)


@pytest.mark.parametrize("watching", ["top", "left"])
def test_each_part_that_one_camera_finds_is_seen_by_all(line: Make, watching: str) -> None:
    other = BELT.replace("parts=3", "parts=9")
    sources = {"top": other, "left": other, watching: BELT}
    one = line(
        *(view(name, source) for name, source in sources.items()),
        part={"by": "presence", "camera": watching},
    )
    one.thread.join(LIMIT_S)
    assert one.error is None
    assert [result["part"]["id"] for result in one.results] == [
        "presence-1",
        "presence-2",
        "presence-3",
    ]
    for result in one.results:
        assert [name for name, _ in views_of(checked(result))] == ["top", "left"]
        assert "no_frame" not in dict(views_of(result)).values()
        assert result["trigger"] is None


def test_an_optional_camera_that_is_absent_decides_nothing(line: Make) -> None:
    away = view("left", "v4l2:///dev/edge-nowhere", optional=True)
    one = line(view("top", BELT), away, part={"by": "presence"})
    one.thread.join(LIMIT_S)
    assert len(one.results) == 3
    for result in one.results:
        assert dict(views_of(checked(result)))["left"] == "no_frame"
        assert (result["view"], result["result"]) == ("top", "pass")


def test_a_needed_view_that_is_outside_the_window_is_an_error(line: Make) -> None:
    # The other camera ends long before the first part is found.
    other = "test://conveyor?size=32x32&fps=100&parts=1"
    one = line(
        view("top", BELT), view("left", other), part={"by": "presence"}, matching={"within_ms": 1}
    )
    one.thread.join(LIMIT_S)
    assert one.error is None
    (result,) = one.results
    assert (result["result"], result["reason"], result["view"]) == ("error", "no_frame", "left")
    assert result["part"]["id"] == "presence-1"
    assert views_of(checked(result))[0] == ("top", "score_below_threshold")


def test_without_presence_each_frame_of_the_first_camera_is_a_part(line: Make) -> None:
    first = view("top", ENDLESS + "&parts=5", buffer="every")
    one = line(first, view("left", ENDLESS), view("right", ENDLESS))
    one.thread.join(LIMIT_S)
    assert one.error is None
    assert len(one.results) == 5
    for result in one.results:
        assert [name for name, _ in views_of(checked(result))] == ["top", "left", "right"]
        assert result["result"] == "pass"


def test_the_views_of_simulated_cameras_lie_within_the_window(fast_bundle: Path) -> None:
    config = config_of(
        fast_bundle,
        view("top", ENDLESS + "&parts=20"),
        view("left", ENDLESS),
        matching={"within_ms": 8, "frame_timeout_ms": 200},
    )
    mailbox = Mailbox("every", 20, DropCounts())
    capture = make_capture(
        config, make_sources(config), None, mailbox, DropCounts(),
        on_refused=lambda _: pytest.fail("the mailbox has room for all"),
        on_change=lambda *_: None,
    )  # fmt: skip
    capture.open()
    capture.start()
    parts, end = [], time.monotonic() + LIMIT_S
    while not mailbox.closed and time.monotonic() < end:
        part = mailbox.take(0.05)
        parts += [] if part is None else [part]
    capture.stop()
    assert len(parts) == 20
    seen = [part for part in parts if not part.others[0].is_missing]
    assert seen
    assert all(abs(part.captured_ns - part.others[0].captured_ns) <= 8e6 for part in seen)


@pytest.mark.parametrize("source", ["file:///pictures", "test://conveyor"])
def test_frames_without_a_time_of_capture_are_refused(fast_bundle: Path, source: str) -> None:
    config = config_of(fast_bundle, view("top", ENDLESS), view("left", source))
    with pytest.raises(ConfigError, match="cameras: left: expected a live camera") as caught:
        check_station(config)
    assert "\n" not in str(caught.value)


def test_a_command_that_triggers_is_refused_as_without_triggers(line: Make) -> None:
    one = line(view("top", ENDLESS), view("left", ENDLESS))
    assert request_trigger(one.station._capture, {}) is None
