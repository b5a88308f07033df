"""Bundles, a changeover over them, and the thread that takes recipes over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.station import RecipeSettings, StationConfig
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import Recipes
from edge.station.recipes.selected_recipe import SelectedRecipe
from tests.support.bundles import (
    DEMO_BUNDLE,
    edit_json,
    make_bundle,
    make_bundle_for,
    sign,
    with_two_graphs,
)
from tests.support.made_once import made_once


def with_golden(folder: Path, name: str, change) -> Path:
    bundle = make_bundle(folder, name)
    path = bundle / "golden" / "golden.json"
    images = [change(image) for image in json.loads(path.read_text())["images"]]
    edit_json(path, images=[image for image in images if image is not None])
    return sign(bundle)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "cover": make_bundle(folder, "cover", threshold=1.75),
        "all": make_bundle_for(folder, "all", {"lid": 0.5, "box": 1.5}),
        "drifted": with_golden(
            folder, "drifted", lambda image: {**image, "score": 0.99 * image["score"]}
        ),
        "empty": with_golden(folder, "empty", lambda image: None),
        "typed": with_two_graphs(make_bundle_for(folder, "typed", {"jug": 0.5, "pot": 0.95})),
    }


def make_config(bundles: dict[str, Path], **changes) -> StationConfig:
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
    """The inspector's thread: asks for a recipe every few milliseconds, as for a frame each."""

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
def changeover(bundles, tmp_path) -> Iterator[Changeover]:
    recipes = Recipes(make_config(bundles))
    changes: list[str | None] = []
    changeover = Changeover(
        recipes,
        SelectedRecipe(tmp_path / "selected.json", recipes.first, recipes.all),
        lambda: changes.append(changeover.preparing),
    )
    changeover.changes = changes
    yield changeover
    changeover.stop(5)
    changeover.close()


@pytest.fixture
def inspector(changeover) -> Iterator[None]:
    one = Inspector(changeover)
    yield
    one.stop()


@pytest.fixture(scope="session")
def fast_bundle(tmp_path_factory) -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        with_two_graphs(make_bundle(folder, "fast"))

    return made_once(tmp_path_factory, "fast_bundle", make) / "fast"
