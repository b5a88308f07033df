"""Recipes are exchanged between two frames, on real bundles and engines."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.config.station import RecipeSettings, StationConfig
from edge.drop_counts import DropCounts
from edge.errors import BundleError, InferenceError
from edge.messages.command import Answer, Command, command_payload
from edge.messages.state_board import StateBoard
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.handlers import CommandHandlers
from edge.station.commands.jobs import JobControl
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import Recipes
from edge.station.recipes.selected_recipe import SelectedRecipe
from tests.support.brokers import wait_until
from tests.support.bundles import (
    DEMO_BUNDLE,
    edit_json,
    make_bundle,
    make_bundle_for,
    sign,
    with_two_graphs,
)
from tests.support.mqtt_results import IDENTITY


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "cover": make_bundle(folder, "cover", threshold=2.0),
        "all": make_bundle_for(folder, "all", {"lid": 0.5, "box": 1.5}),
        "drifted": with_golden(folder, "drifted", lambda image: {**image, "score": 0.3}),
        "empty": with_golden(folder, "empty", lambda image: None),
        "typed": with_two_graphs(make_bundle_for(folder, "typed", {"jug": 0.5, "pot": 1.5})),
    }


def with_golden(folder: Path, name: str, change) -> Path:
    bundle = make_bundle(folder, name)
    path = bundle / "golden" / "golden.json"
    images = [change(image) for image in json.loads(path.read_text())["images"]]
    edit_json(path, images=[image for image in images if image is not None])
    return sign(bundle)


def station(bundles: dict[str, Path], **changes) -> StationConfig:
    values = {
        "node": "n",
        "station": "s",
        "recipes": {
            "housing": DEMO_BUNDLE,
            "cover": bundles["cover"],
            "lid": RecipeSettings(bundle=bundles["all"], product="lid"),
            "box": RecipeSettings(bundle=bundles["all"], product="box"),
            "gone": bundles["all"].parent / "nowhere",
            "drifted": bundles["drifted"],
            "empty": bundles["empty"],
            "jug": RecipeSettings(bundle=bundles["typed"], product="jug"),
            "pot": RecipeSettings(bundle=bundles["typed"], product="pot"),
        },
        "recipe": "housing",
        "camera": {"source": "test://conveyor"},
    }
    recipes = {
        name: value if isinstance(value, RecipeSettings) else RecipeSettings(bundle=value)
        for name, value in values["recipes"].items()
    }
    return StationConfig.model_validate({**values, "recipes": recipes, **changes})


class Inspector:
    """The inspector's thread: takes its turn every few milliseconds, as with a frame each time."""

    def __init__(self, changeover: Changeover):
        self._end = threading.Event()
        self._changeover = changeover
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.005):
            self._changeover.recipe_for(time.monotonic_ns())

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def made(bundles, tmp_path) -> Iterator[Changeover]:
    recipes = Recipes(station(bundles))
    changes: list[str | None] = []
    changeover = Changeover(
        recipes,
        SelectedRecipe(tmp_path / "choice.json", recipes.first, recipes.all),
        lambda: changes.append(changeover.preparing),
    )
    changeover.changes = changes
    yield changeover
    changeover.stop(5)
    changeover.close()


@pytest.fixture
def inspector(made) -> Iterator[None]:
    one = Inspector(made)
    yield
    one.stop()


def name_of(changeover: Changeover) -> str | None:
    return changeover.current.name if changeover.current else None


def outcome(begin) -> str | None:
    done: list[str | None] = []
    assert begin(done.append), "busy"
    wait_until(lambda: done, 20, "the outcome")
    return done[0]


def prepare(changeover: Changeover, name: str) -> str | None:
    return outcome(lambda done: changeover.prepare(name, "mes", done))


def test_the_exchange_waits_for_frames_that_were_there_before(made: Changeover) -> None:
    captured_ns = time.monotonic_ns()
    done: list[str | None] = []
    assert made.prepare("cover", "mes", done.append)
    wait_until(lambda: made._offer is not None, 20)
    assert made.recipe_for(captured_ns).name == "housing"
    assert done == []
    assert made.recipe_for(time.monotonic_ns()).name == "cover"
    wait_until(lambda: done == [None])
    assert made.recipe_for(captured_ns).name == "cover"


def test_an_idle_station_exchanges_without_a_frame(made: Changeover) -> None:
    done: list[str | None] = []
    made.prepare("cover", "mes", done.append)
    wait_until(lambda: made.recipe_for(None).name == "cover", 20)
    wait_until(lambda: done == [None])


def test_the_old_engine_is_freed_and_the_new_one_judges(made: Changeover, inspector) -> None:
    old = made.current
    assert prepare(made, "cover") is None
    assert made.changes == ["cover", None]
    assert name_of(made) == "cover"
    assert (made.current.model.recipe_id, made.current.model.name) == ("cover", "cover")
    assert made.current.bundle.thresholds.score.value == 2.0
    made.current.inspector.self_test()
    with pytest.raises(InferenceError, match="after close"):
        old.engine.run({})


def test_products_of_one_bundle_share_the_engine(made: Changeover, inspector) -> None:
    assert prepare(made, "lid") is None
    engine = made.current.engine
    assert made.current.model.product_id == "lid"
    assert prepare(made, "box") is None
    assert made.current.engine is engine
    assert made.current.model.product_id == "box"
    assert made.current.bundle.thresholds.score.value == 1.5
    # Its golden verdicts are those of the bundle; the engine is proven, and still open.
    assert prepare(made, "cover") is None
    assert made.current.engine is not engine
    with pytest.raises(InferenceError, match="after close"):
        engine.run({})


def test_both_engines_of_a_bundle_come_and_go_together(made: Changeover, inspector) -> None:
    assert made.current.types_engine is None
    assert prepare(made, "jug") is None
    jug = made.current
    frame = {"frame": np.full((1, 64, 96, 3), 255, np.uint8)}
    assert jug.types_engine.run(frame)["type_logits"].argmax(1).tolist() == [[[1] * 12] * 8]
    assert prepare(made, "pot") is None
    assert made.current.types_engine is jug.types_engine, "products of one bundle share it"
    made.current.inspector.self_test()
    assert prepare(made, "cover") is None
    for engine in (jug.engine, jug.types_engine):
        with pytest.raises(InferenceError, match="after close"):
            engine.run(frame)
    assert made.current.types_engine is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "no such folder"),
        ("drifted", r"golden picture .* the engine says"),
        ("empty", "IndexError"),  # a fault that nobody foresaw
    ],
)
def test_a_recipe_that_fails_leaves_everything_as_it_was(
    made: Changeover, inspector, name: str, reason: str
) -> None:
    problem = prepare(made, name)
    assert problem is not None
    assert re.search(reason, problem)
    assert "\n" not in problem
    assert name_of(made) == "housing"
    made.current.inspector.self_test()
    assert made._selected.read() == "housing"
    assert prepare(made, "cover") is None, "and the station can be asked again"


def test_only_one_recipe_at_a_time(made: Changeover) -> None:
    done: list[str | None] = []
    assert made.prepare("cover", "mes", done.append)
    assert not made.prepare("lid", "mes", done.append)
    wait_until(lambda: made.recipe_for(None).name == "cover", 20)
    wait_until(lambda: done)
    assert done == [None]


def test_a_station_that_ends_before_the_exchange_keeps_its_recipe(made: Changeover) -> None:
    done: list[str | None] = []
    made.prepare("cover", "mes", done.append)
    wait_until(lambda: made._offer is not None, 20)
    assert made.stop(5)
    assert done == ["the station is stopping"]
    assert name_of(made) == "housing"
    assert made._selected.read() == "housing"
    assert not made.prepare("cover", "mes", done.append)


def test_a_station_starts_with_the_recipe_chosen_before(bundles, made, tmp_path, inspector) -> None:
    prepare(made, "cover")
    recipes = Recipes(station(bundles))
    choice = SelectedRecipe(tmp_path / "choice.json", recipes.first, recipes.all)
    again = Changeover(recipes, choice, lambda: None)
    assert name_of(again) == "cover"
    again.close()


def test_a_bundle_of_several_products_is_a_recipe_for_each(bundles) -> None:
    config = station(bundles, recipes={}, recipe=None, bundle=bundles["all"], product="lid")
    recipes = Recipes(config)
    assert recipes.first == "lid"
    assert list(recipes.all) == ["pcb_traces", "lid", "box"]
    config = station(bundles, recipes={}, recipe=None, bundle=bundles["all"])
    assert Recipes(config).first == "pcb_traces"
    with pytest.raises(BundleError, match="got cup"):
        Recipes(station(bundles, recipes={}, recipe=None, bundle=bundles["all"], product="cup"))


def test_a_bundle_exchanged_on_the_disk_is_loaded_anew(made, bundles, tmp_path, inspector) -> None:
    folder = make_bundle(tmp_path, "renewed")
    made._recipes.all = {**made._recipes.all, "renewed": RecipeSettings(bundle=folder)}
    assert prepare(made, "renewed") is None
    engine = made.current.engine
    assert prepare(made, "renewed") is None
    assert made.current.engine is engine, "nothing has changed"
    edit_json(folder / "bundle.json", version="3")
    assert prepare(made, "renewed") is None
    assert made.current.engine is not engine
    assert made.current.model.version == "3"
    (folder / "thresholds.json").write_text("{}")
    edit_json(folder / "bundle.json", version="4")
    assert "was altered" in prepare(made, "renewed")
    assert made.current.model.version == "3"


def test_a_recipe_must_say_which_product_of_a_bundle_it_is(bundles) -> None:
    config = station(bundles, recipes={"x": RecipeSettings(bundle=bundles["all"])}, recipe="x")
    with pytest.raises(BundleError, match=r"serves lid, box; write which: x: \{bundle: PATH"):
        Recipes(config).load("x")


class Told:
    """CommandHandlers with what it tells the outside."""

    def __init__(self, changeover: Changeover):
        self.finished: dict[str, Answer] = {}
        self.stops = 0
        self.board = StateBoard(IDENTITY)
        self.drops = DropCounts()
        self.execution = JobControl(
            Mailbox("every", 8, self.drops),
            self.drops,
            on_change=lambda: None,
            finish=self.finished.__setitem__,
        )
        self.control = CommandHandlers(
            changeover,
            self.execution,
            self.board,
            retry_camera=lambda: False,
            request_stop=self._stop,
            finish=self.finished.__setitem__,
        )

    def _stop(self) -> None:
        self.stops += 1

    def ask(self, name: str, **args: str) -> Answer:
        payload = command_payload(name, "mes", args, lifetime_s=9)
        return self.control.handlers[name](Command.model_validate(payload, strict=False))

    def wait(self, name: str) -> Answer:
        wait_until(lambda: name in self.finished, 20)
        return self.finished.pop(name)


def test_commands_move_the_station_through_its_states(made: Changeover, inspector) -> None:
    told = Told(made)
    assert told.ask("get_state").status == "done"
    refused = told.ask("unprepare_recipe", recipe="housing")
    assert (refused.status, refused.code) == ("rejected", "wrong_state")
    assert told.ask("stop").status == "done"
    assert told.execution.mode == "ready"
    assert told.ask("unprepare_recipe", recipe="cover").code == "unknown_recipe"
    assert told.ask("unprepare_recipe", recipe="housing").status == "accepted"
    assert told.wait("unprepare_recipe").status == "done"
    assert made.current is None
    assert told.ask("start_continuous").code == "wrong_state"
    assert told.ask("prepare_recipe", recipe="cup").code == "unknown_recipe"
    assert told.ask("prepare_recipe", recipe="cover").status == "accepted"
    assert told.wait("prepare_recipe").status == "done"
    assert told.execution.mode == "ready", "a prepared recipe does not start by itself"
    assert told.ask("start_continuous").status == "done"
    assert told.execution.mode == "continuous_execution"


def test_a_failed_preparation_is_told_in_one_line(made: Changeover, inspector) -> None:
    told = Told(made)
    told.ask("prepare_recipe", recipe="gone")
    failed = told.wait("prepare_recipe")
    assert (failed.status, failed.code) == ("failed", "recipe_failed")
    assert failed.message.count("\n") == 0
    assert "nowhere" in failed.message


def test_busy_and_stopping_are_told_apart(made: Changeover) -> None:
    told = Told(made)
    told.ask("prepare_recipe", recipe="cover")
    assert told.ask("prepare_recipe", recipe="lid").code == "busy"
    made.stop(5)
    assert told.wait("prepare_recipe").code == "stopping"
    assert told.ask("prepare_recipe", recipe="lid").code == "stopping"


def test_alerts_are_acknowledged_and_the_process_is_ended(made: Changeover) -> None:
    told = Told(made)
    assert told.ask("acknowledge_alert", code="camera_lost").code == "unknown_alert"
    told.board.raise_alert("camera_lost", "critical", "")
    assert told.ask("acknowledge_alert", code="camera_lost").status == "done"
    assert told.ask("halt").status == "done"
    assert told.stops == 1
