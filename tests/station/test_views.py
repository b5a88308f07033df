"""A whole station with several cameras: one verdict per part, whatever a camera does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edge.archive.layout import RECORD
from edge.archive.record import read_frame
from edge.cameras.fired import FiredSource
from edge.messages.payload import schema
from edge.trigger import Trigger
from tests.support.bundles import make_bundle, with_two_graphs, with_views
from tests.support.made_once import made_once
from tests.support.triggered_line import LIMIT_S, Line, one_each

BELT = "test://conveyor?size=32x32"
PATIENT = {"by": "software", "frame_timeout_ms": 60_000}
BRIEF = {"by": "software", "frame_timeout_ms": 30}
Make = Callable[..., Line]


@pytest.fixture
def line(tmp_path: Path, fast_bundle: Path) -> Iterator[Make]:
    lines: list[Line] = []

    def make(*cameras: dict, trigger: dict | None = None, awaited: int | None = None, **changes):
        bundle = None if "recipes" in changes else changes.pop("bundle", fast_bundle)
        values = {"camera": None, "cameras": list(cameras), **changes}
        one = Line(tmp_path, bundle, "", trigger or PATIENT, **values)
        lines.append(one)
        names = [camera["name"] for camera in cameras][:awaited]
        states = one.station._capture.states
        one.until(
            lambda: all(one.station._capture.states[name].connected for name in names), "cameras"
        )
        assert list(states) == [camera["name"] for camera in cameras]
        return one

    yield make
    for each in lines:
        each.stop()


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory) -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        with_two_graphs(make_bundle(folder, "other", version="7"))

    return made_once(tmp_path_factory, "other_bundle", make) / "other"


def pictures(folder: Path, *kinds: str) -> str:
    """Write one picture of each kind; the graph of the bundle finds red."""
    folder.mkdir()
    for index, kind in enumerate(kinds):
        pixels = np.full((32, 32, 3), 90, np.uint8)
        if kind == "red":
            pixels[8:24, 8:24] = (0, 0, 255)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), pixels)
        if kind == "broken":
            path.write_bytes(path.read_bytes()[:60])
    return f"file://{folder}"


def view(name: str, source: str = BELT, **changes) -> dict:
    return {"name": name, "source": source, **changes}


def views_of(result: dict) -> dict[str, dict]:
    return {each["camera"]: each for each in result["views"]}


def checked(result: dict) -> dict:
    assert list(Draft202012Validator(schema("result")).iter_errors(result)) == []
    return result


def never(camera: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a camera take triggers and deliver no frame."""
    fire = FiredSource.fire

    def deaf(source: FiredSource) -> None:
        if source._source._camera != camera:
            fire(source)

    monkeypatch.setattr(FiredSource, "fire", deaf)


def test_a_trigger_collects_all_views_and_the_worst_decides(line, tmp_path) -> None:
    good, bad = pictures(tmp_path / "a", "good"), pictures(tmp_path / "b", "red")
    one = line(
        view("top", good), view("left", bad), view("right", pictures(tmp_path / "c", "good"))
    )
    taken = one.trigger(part_id="p7")
    one.wait(1)
    (result,) = one.stop()
    checked(result)
    assert (result["result"], result["view"]) == ("fail", "left")
    assert [each["name"] for each in result["views"]] == ["top", "left", "right"]
    assert [each["result"] for each in result["views"]] == ["pass", "fail", "pass"]
    assert result["part"]["id"] == "p7"
    assert result["trigger"]["id"] == taken.id
    left = views_of(result)["left"]
    assert (result["score"], result["defects"]) == (left["score"], left["defects"])
    assert {r["view"] for each in result["defects"] for r in each["regions"]} == {"left"}
    assert views_of(result)["top"]["defects"] == []


def test_views_of_one_bundle_share_its_engine(line) -> None:
    one = line(view("top"), view("left"))
    recipe = one.station._changeover.current
    assert recipe.of("left") is not recipe
    assert recipe.of("left").engine is recipe.engine
    assert recipe.of("left").inspector is not recipe.inspector


def test_a_view_has_a_bundle_of_its_own(line, other_bundle) -> None:
    one = line(view("top"), view("left", bundle=other_bundle))
    recipe = one.station._changeover.current
    assert recipe.of("left").engine is not recipe.engine
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    models = [each["model"]["name"] for each in checked(result)["views"]]
    assert models == ["fast", "other"]


def test_a_view_that_does_not_come_is_an_error(line, monkeypatch) -> None:
    never("left", monkeypatch)
    one = line(view("top"), view("left"), trigger=BRIEF)
    taken = [one.trigger() for _ in range(2)]
    one.wait(2)
    one_each(one.stop(), taken)
    for result in one.results:
        assert (result["result"], result["reason"], result["view"]) == ("error", "no_frame", "left")
        assert views_of(checked(result))["top"]["result"] == "pass"
    assert one.queue.counts["no_frame"] == 2


def test_an_optional_view_that_does_not_come_decides_nothing(line, monkeypatch) -> None:
    never("left", monkeypatch)
    one = line(view("top"), view("left", optional=True), trigger=BRIEF)
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert (result["result"], result["view"]) == ("pass", "top")
    left = views_of(checked(result))["left"]
    assert (left["result"], left["reason"], left["is_optional"]) == ("error", "no_frame", True)


def test_an_optional_view_that_comes_counts_like_any_other(line, tmp_path) -> None:
    one = line(view("top"), view("left", pictures(tmp_path / "a", "red"), optional=True))
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert (result["result"], result["view"]) == ("fail", "left")


def test_a_defect_is_certain_whatever_is_missing(line, tmp_path, monkeypatch) -> None:
    never("left", monkeypatch)
    one = line(view("top", pictures(tmp_path / "a", "red")), view("left"), trigger=BRIEF)
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert (result["result"], result["view"]) == ("fail", "top")
    assert views_of(result)["left"]["reason"] == "no_frame"


def test_a_broken_picture_is_a_missing_view(line, tmp_path) -> None:
    one = line(view("top"), view("left", pictures(tmp_path / "a", "broken")))
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert (result["result"], result["reason"]) == ("error", "camera_error")


def test_a_camera_that_hangs_holds_up_no_other(line, monkeypatch) -> None:
    go, fire = threading.Event(), FiredSource.fire

    def hanging(source: FiredSource) -> None:
        if source._source._camera == "left":
            go.wait(LIMIT_S)
        fire(source)

    monkeypatch.setattr(FiredSource, "fire", hanging)
    one = line(view("top"), view("left", optional=True), trigger=BRIEF)
    taken = [one.trigger() for _ in range(3)]
    one.wait(3)
    assert [result["result"] for result in one.results] == ["pass"] * 3
    go.set()
    one_each(one.stop(), taken)


def test_a_frame_that_is_late_never_stands_for_the_next_part(line, tmp_path, monkeypatch) -> None:
    late, fire = threading.Event(), FiredSource.fire
    go = threading.Event()

    def slow(source: FiredSource) -> None:
        if source._source._camera == "left" and not late.is_set():
            late.set()
            go.wait(LIMIT_S)
        fire(source)

    monkeypatch.setattr(FiredSource, "fire", slow)
    left = pictures(tmp_path / "a", "red", "good", "good")
    one = line(view("top"), view("left", left, optional=True), trigger=BRIEF)
    one.trigger()
    one.wait(1)
    go.set()  # the picture of the first part arrives now
    one.until(lambda: one.queue.counts["unasked"] == 1, "the late frame")
    one.trigger()
    one.wait(2)
    assert [result["result"] for result in one.stop()] == ["pass", "pass"]


def test_an_optional_camera_may_be_absent_at_the_start(line, tmp_path) -> None:
    gone = f"file://{tmp_path}/nowhere"
    one = line(view("top"), view("left", gone, optional=True), trigger=BRIEF, awaited=1)
    one.trigger()
    one.wait(1)
    state, threshold = one.station._report.state(), one.results[0]["threshold"]
    assert list(Draft202012Validator(schema("state")).iter_errors(state)) == []
    assert state["state"] == "operational"
    assert state["cameras"] == [
        {"name": "top", "is_optional": False, "connected": True, "threshold": threshold},
        {"name": "left", "is_optional": True, "connected": False, "threshold": threshold},
    ]
    assert one.stop()[0]["result"] == "pass"


def test_the_end_of_an_optional_camera_is_not_the_end_of_the_station(line, tmp_path) -> None:
    left = view("left", pictures(tmp_path / "a", "good"), optional=True)
    one = line(view("top"), left, trigger=BRIEF)
    taken = []
    for count in range(1, 4):
        taken.append(one.trigger())
        one.wait(count)
    one_each(one.stop(), taken)
    assert [result["result"] for result in one.results] == ["pass"] * 3
    assert [views_of(result)["left"]["result"] for result in one.results] == [
        "pass",
        "error",
        "error",
    ]


def test_the_end_of_a_needed_camera_is_the_end_of_the_station(line, tmp_path) -> None:
    one = line(view("top"), view("left", pictures(tmp_path / "a", "good", "good")))
    taken = [one.trigger(), one.trigger()]
    one.thread.join(LIMIT_S)
    assert not one.thread.is_alive()
    one_each(one.results, taken)
    assert {result["result"] for result in one.results} == {"pass"}


def test_results_add_up_in_a_storm_with_drops(line) -> None:
    faulty = BELT + "&fault=drop:0.1,corrupt:0.1"
    trigger = {**BRIEF, "queue": 3}
    one = line(view("top"), view("left", faulty), view("right", faulty), trigger=trigger)
    outcomes: list = []

    def fire() -> None:
        outcomes.extend(one.trigger() for _ in range(60))

    threads = [threading.Thread(target=fire) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one_each(one.stop(), [each for each in outcomes if isinstance(each, Trigger)])
    assert {len(result["views"]) for result in one.results} <= {1, 3}


def test_an_abort_gives_one_result_to_what_it_drops(line, monkeypatch) -> None:
    one = line(view("top"), view("left"))
    reached, go = threading.Event(), threading.Event()
    inspector = one.station._changeover.current.inspector
    inspect = inspector.inspect

    def held(frame):
        reached.set()
        assert go.wait(LIMIT_S)
        return inspect(frame)

    monkeypatch.setattr(inspector, "inspect", held)
    taken = [one.trigger() for _ in range(3)]
    assert reached.wait(LIMIT_S)
    one.until(lambda: len(one.station._mailbox) == 2, "parts that wait")
    one.jobs.abort("aborted by a test")
    go.set()
    one.wait(3)
    one_each(one.stop(), taken)
    assert one.reasons == ["not_judged"] * 3
    assert all(len(checked(result)["views"]) == 2 for result in one.results)


def test_a_changeover_exchanges_all_views(line, fast_bundle, other_bundle) -> None:
    recipes = {
        "a": {"bundle": fast_bundle, "views": {"left": {"bundle": other_bundle}}},
        "b": {"bundle": other_bundle, "views": {}},
    }
    one = line(
        view("top"), view("left"), view("right", recipe="a"),
        recipes=recipes, recipe="a",
    )  # fmt: skip
    one.trigger()
    one.wait(1)
    done: list = []
    before = one.station._changeover.current
    assert one.station._changeover.prepare("b", "a test", done.append)
    one.until(lambda: done == [None], "the exchange")
    after = one.station._changeover.current
    assert after.engine is before.of("left").engine
    assert after.of("right").engine is before.engine
    one.trigger()
    one.wait(2)
    names = [[each["model"]["name"] for each in result["views"]] for result in one.stop()]
    assert names == [["fast", "other", "fast"], ["other", "other", "fast"]]


def test_a_threshold_by_command_holds_for_the_views_of_the_recipe(line, other_bundle) -> None:
    one = line(view("top"), view("left"), view("right", bundle=other_bundle))
    done: list = []
    assert one.station._changeover.set_threshold(0.125, done.append)
    one.until(lambda: done == [None], "the exchange")
    one.trigger()
    one.wait(1)
    thresholds = [each["threshold"] for each in one.stop()[0]["views"]]
    assert thresholds[:2] == [0.125, 0.125]
    assert thresholds[2] != 0.125


def test_the_archive_keeps_every_view_with_what_is_said_of_it(line, tmp_path) -> None:
    kept = tmp_path / "kept"
    archive = {"path": kept, "keep": "all", "raw": {"fail": "all", "pass": "none"}}
    one = line(
        view("top"), view("left", pictures(tmp_path / "a", "red")), archive=archive
    )  # fmt: skip
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert len(list(kept.glob("*.webp"))) == 2
    records = sorted(kept.rglob(f"*{RECORD}"))
    assert [path.parent.name for path in records] == ["fail", "pass"]
    for path in records:
        frame = read_frame(path.parent / path.name.removesuffix(RECORD))
        record = json.loads(path.read_text())
        own = views_of(result)[record["camera"]["name"]]
        assert (frame.verdict.value, frame.score) == (own["result"], own["score"])
        assert record["result"]["part_result"] == "fail"
        assert record["result"]["seq"] == result["seq"]


def test_each_view_is_judged_by_its_own_threshold_and_says_so(line, tmp_path) -> None:
    rng = np.random.default_rng(0)
    scores = {"top": rng.uniform(0, 0.1, 40).tolist(), "left": rng.uniform(0, 0.9, 40).tolist()}
    made = with_two_graphs(make_bundle(tmp_path, "own", threshold=0.5))
    bundle = with_views(made, scores)
    one = line(view("top"), view("left"), view("right"), bundle=bundle)
    one.trigger()
    one.wait(1)
    said = {each["name"]: each for each in one.station._report.state()["cameras"]}
    (result,) = one.stop()
    views = views_of(checked(result))
    assert views["top"]["threshold"] < 0.1 < 0.5 < views["left"]["threshold"] < 0.9
    assert views["right"]["threshold"] == 0.5, "the common one stands in"
    assert {name: each["threshold"] for name, each in said.items()} == {
        name: each["threshold"] for name, each in views.items()
    }
