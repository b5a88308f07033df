"""Recipes are exchanged between two frames, on real bundles and engines."""

from __future__ import annotations

import re
import shutil
import time

import numpy as np
import pytest

from edge.bundle.installed import InstalledBundles
from edge.bundle.signature import Trust
from edge.config.station import RecipeSettings, StationConfig
from edge.errors import BundleError, InferenceError
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import Recipes
from edge.station.recipes.selected_recipe import SelectedRecipe
from tests.station.conftest import make_config
from tests.support.brokers import wait_until
from tests.support.bundles import edit_json, make_bundle, with_two_graphs


def name_of(changeover: Changeover) -> str | None:
    return changeover.current.name if changeover.current else None


def outcome(begin) -> str | None:
    done: list[str | None] = []
    assert begin(done.append), "busy"
    wait_until(lambda: done, 20, "the outcome")
    return done[0]


def prepare(changeover: Changeover, name: str) -> str | None:
    return outcome(lambda done: changeover.prepare(name, "mes", done))


def test_the_exchange_waits_for_frames_that_were_there_before(changeover: Changeover) -> None:
    captured_ns = time.monotonic_ns()
    done: list[str | None] = []
    assert changeover.prepare("cover", "mes", done.append)
    wait_until(lambda: changeover._offer is not None, 20)
    assert changeover.recipe_for(captured_ns).name == "housing"
    assert done == []
    assert changeover.recipe_for(time.monotonic_ns()).name == "cover"
    wait_until(lambda: done == [None])
    assert changeover.recipe_for(captured_ns).name == "cover"


def test_an_idle_station_exchanges_without_a_frame(changeover: Changeover) -> None:
    done: list[str | None] = []
    changeover.prepare("cover", "mes", done.append)
    wait_until(lambda: changeover.recipe_for(None).name == "cover", 20)
    wait_until(lambda: done == [None])


def test_the_old_engine_is_freed_and_the_new_one_judges(changeover: Changeover, inspector) -> None:
    old = changeover.current
    assert prepare(changeover, "cover") is None
    assert changeover.changes == ["cover", None]
    assert name_of(changeover) == "cover"
    assert (changeover.current.model.recipe_id, changeover.current.model.name) == ("cover", "cover")
    assert changeover.current.bundle.thresholds.score.value == 1.75
    changeover.current.inspector.self_test()
    with pytest.raises(InferenceError, match="after close"):
        old.engine.run({})


def test_products_of_one_bundle_share_the_engine(changeover: Changeover, inspector) -> None:
    assert prepare(changeover, "lid") is None
    engine = changeover.current.engine
    assert changeover.current.model.product_id == "lid"
    assert prepare(changeover, "box") is None
    assert changeover.current.engine is engine
    assert changeover.current.model.product_id == "box"
    assert changeover.current.bundle.thresholds.score.value == 1.5
    # Its golden verdicts are those of the bundle; the engine is proven, and still open.
    assert prepare(changeover, "cover") is None
    assert changeover.current.engine is not engine
    with pytest.raises(InferenceError, match="after close"):
        engine.run({})


def test_both_engines_of_a_bundle_come_and_go_together(changeover: Changeover, inspector) -> None:
    assert changeover.current.types_engine is None
    assert prepare(changeover, "jug") is None
    jug = changeover.current
    frame = {"frame": np.full((1, 64, 96, 3), 255, np.uint8)}
    assert jug.types_engine.run(frame)["type_logits"].argmax(1).tolist() == [[[1] * 12] * 8]
    assert prepare(changeover, "pot") is None
    assert changeover.current.types_engine is jug.types_engine, "products of one bundle share it"
    changeover.current.inspector.self_test()
    assert prepare(changeover, "cover") is None
    for engine in (jug.engine, jug.types_engine):
        with pytest.raises(InferenceError, match="after close"):
            engine.run(frame)
    assert changeover.current.types_engine is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "no such folder"),
        ("drifted", r"golden picture .* the engine says"),
        ("empty", "images: .*at least 1 item"),
    ],
)
def test_a_recipe_that_fails_leaves_everything_as_it_was(
    changeover: Changeover, inspector, name: str, reason: str
) -> None:
    problem = prepare(changeover, name)
    assert problem is not None
    assert re.search(reason, problem)
    assert "\n" not in problem
    assert name_of(changeover) == "housing"
    changeover.current.inspector.self_test()
    assert changeover._selected.read() == "housing"
    assert prepare(changeover, "cover") is None, "and the station can be asked again"


def test_only_one_recipe_at_a_time(changeover: Changeover) -> None:
    done: list[str | None] = []
    assert changeover.prepare("cover", "mes", done.append)
    assert not changeover.prepare("lid", "mes", done.append)
    wait_until(lambda: changeover.recipe_for(None).name == "cover", 20)
    wait_until(lambda: done)
    assert done == [None]


def test_a_station_that_ends_before_the_exchange_keeps_its_recipe(changeover: Changeover) -> None:
    done: list[str | None] = []
    changeover.prepare("cover", "mes", done.append)
    wait_until(lambda: changeover._offer is not None, 20)
    assert changeover.stop(5)
    assert done == ["the station is stopping"]
    assert name_of(changeover) == "housing"
    assert changeover._selected.read() == "housing"
    assert not changeover.prepare("cover", "mes", done.append)


def test_a_station_starts_with_the_recipe_chosen_before(
    bundles, changeover, tmp_path, inspector
) -> None:
    prepare(changeover, "cover")
    recipes = Recipes(make_config(bundles))
    selected = SelectedRecipe(tmp_path / "selected.json", recipes.first, recipes.all)
    again = Changeover(recipes, selected, lambda: None)
    assert name_of(again) == "cover"
    again.close()


def test_a_bundle_of_several_products_is_a_recipe_for_each(bundles) -> None:
    config = make_config(bundles, recipes={}, recipe=None, bundle=bundles["all"], product="lid")
    recipes = Recipes(config)
    assert recipes.first == "lid"
    assert list(recipes.all) == ["pcb_traces", "lid", "box"]
    config = make_config(bundles, recipes={}, recipe=None, bundle=bundles["all"])
    assert Recipes(config).first == "pcb_traces"
    with pytest.raises(BundleError, match="got cup"):
        Recipes(make_config(bundles, recipes={}, recipe=None, bundle=bundles["all"], product="cup"))


def test_a_bundle_exchanged_on_the_disk_is_loaded_anew(
    changeover, bundles, tmp_path, inspector
) -> None:
    folder = make_bundle(tmp_path, "renewed")
    changeover._recipes.all = {**changeover._recipes.all, "renewed": RecipeSettings(bundle=folder)}
    assert prepare(changeover, "renewed") is None
    engine = changeover.current.engine
    assert prepare(changeover, "renewed") is None
    assert changeover.current.engine is engine, "nothing has changed"
    edit_json(folder / "bundle.json", version="3")
    assert prepare(changeover, "renewed") is None
    assert changeover.current.engine is not engine
    assert changeover.current.model.version == "3"
    (folder / "thresholds.json").write_text("{}")
    edit_json(folder / "bundle.json", version="4")
    assert "was altered" in prepare(changeover, "renewed")
    assert changeover.current.model.version == "3"


def test_a_recipe_must_say_which_product_of_a_bundle_it_is(bundles) -> None:
    config = make_config(bundles, recipes={"x": RecipeSettings(bundle=bundles["all"])}, recipe="x")
    with pytest.raises(BundleError, match=r"serves lid, box; write which: x: \{bundle: PATH"):
        Recipes(config).load("x")


def test_a_station_takes_an_installed_bundle_over_between_two_parts(tmp_path) -> None:
    installed = InstalledBundles(tmp_path / "installed", Trust(), lambda _: None, "eve")
    first, second = (with_two_graphs(make_bundle(tmp_path, "lid", "1")), tmp_path / "lid2")
    shutil.copytree(first, second)
    edit_json(second / "bundle.json", version="2")
    installed.install(first)
    config = {"node": "n", "station": "s", "camera": {"source": "test://conveyor"}}
    bundle = str(tmp_path / "installed" / "current")
    recipes = Recipes(StationConfig.model_validate({**config, "bundle": bundle}))
    selected = SelectedRecipe(tmp_path / "selected.json", recipes.first, recipes.all)
    changeover = Changeover(recipes, selected, lambda: None)
    try:
        installed.install(second)
        assert changeover.current.model.version == "1", "until the command comes"
        for version in ("2", "1"):
            captured_ns, done = time.monotonic_ns(), []
            assert changeover.prepare(recipes.first, "mes", done.append)
            wait_until(lambda: changeover._offer is not None, 20)
            assert changeover.recipe_for(captured_ns).model.version != version
            assert changeover.recipe_for(time.monotonic_ns()).model.version == version
            wait_until(lambda done=done: done == [None])
            installed.rollback()
    finally:
        changeover.stop(5)
        changeover.close()
