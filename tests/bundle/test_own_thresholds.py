"""Views and types with thresholds of their own: they follow from their scores, as all others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.store import open_bundle
from edge.bundle.values import MAX_SCORE
from edge.errors import BundleCorrupt, BundleError
from tests.support.bundles import (
    edit_json,
    make_bundle,
    make_bundle_for,
    sign,
    with_two_graphs,
    with_type_threshold,
    with_views,
)

RNG = np.random.default_rng(0)
SCORES = {"top": RNG.normal(0.3, 0.02, 40).tolist(), "side": RNG.normal(0.6, 0.05, 40).tolist()}
DARK = [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, MAX_SCORE]


@pytest.fixture
def views(tmp_path: Path) -> Path:
    return with_views(make_bundle(tmp_path, "views", threshold=0.5), SCORES)


@pytest.fixture
def types(tmp_path: Path) -> Path:
    made = with_two_graphs(make_bundle(tmp_path, "types", threshold=0.5))
    return with_type_threshold(made, "dark", DARK, 0.2)


def changed(folder: Path, change: Callable[[dict], None]) -> Path:
    path = folder / "thresholds.json"
    thresholds = json.loads(path.read_text())
    change(thresholds)
    edit_json(path, **thresholds)
    return sign(folder)


def test_a_view_has_its_own_threshold_and_scores_and_the_common_rest(views: Path) -> None:
    whole = open_bundle(views)
    top, side = whole.for_view("top"), whole.for_view("side")
    assert top.thresholds.score.value < 0.4 < side.thresholds.score.value
    assert whole.thresholds.score.value == 0.5
    assert top.scores == tuple(sorted(SCORES["top"]))
    assert top.above[0] == 40
    assert (whole.view, top.view, top.id) == (None, "top", whole.id)
    with pytest.raises(BundleError, match=r"expected one of its views \(top, side\), got back"):
        whole.for_view("back")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda side: side.update(value=0.7), r"views\.side\.score\.value: expected"),
        (lambda side: side.update(rank=40), r"views\.side\.score\.rank: expected"),
        (lambda side: side.update(alpha=0.05), r"expected rate, parts and bound as of"),
        (lambda side: side.update(method="fresh-parts"), r"method: expected joint-views"),
        (lambda side: side.update(bound95=0.5), r"expected rate, parts and bound as of"),
    ],
)
def test_a_threshold_of_a_view_that_does_not_follow(
    views: Path, change: Callable[[dict], None], problem: str
) -> None:
    changed(views, lambda thresholds: change(thresholds["views"]["side"]["score"]))
    with pytest.raises(BundleCorrupt, match=problem):
        open_bundle(views)


def test_views_that_show_other_parts_are_refused(views: Path) -> None:
    path = views / "calibration" / "scores.view.top.json"
    parts = json.loads(path.read_text())["parts"]
    edit_json(path, parts=[part if part else 99 for part in parts])
    with pytest.raises(BundleCorrupt, match=r"views\.expected the same parts in every view"):
        open_bundle(sign(views))


def test_the_method_of_views_is_no_other_threshold_s(views: Path) -> None:
    changed(views, lambda thresholds: thresholds["score"].update(method="joint-views"))
    with pytest.raises(BundleCorrupt, match=r"score\.method: joint-views is that of views"):
        open_bundle(views)


def test_a_type_has_a_higher_threshold_than_all_parts(types: Path) -> None:
    own = open_bundle(types).thresholds.types["dark"].score
    assert (own.value, own.alpha, own.groups) == (1.4, 0.2, 10)


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        ([0.1] * 10, r"types\.dark\.score\.value: expected more than the 0\.5 of all parts"),
        ([MAX_SCORE] * 10, r"types\.dark\.score\.value: expected more than"),
    ],
)
def test_a_type_s_threshold_out_of_range(types: Path, scores: list[float], problem: str) -> None:
    with_type_threshold(types, "dark", scores, 0.2)
    with pytest.raises(BundleCorrupt, match=problem):
        open_bundle(types)


def test_a_threshold_of_no_type_of_the_recipe(types: Path) -> None:
    with_type_threshold(types, "hair", DARK, 0.2)
    with pytest.raises(BundleCorrupt, match=r"types\.hair: expected one of the recipe's types"):
        open_bundle(types)


def test_a_bundle_of_several_products_has_none(tmp_path: Path) -> None:
    folder = make_bundle_for(tmp_path, "all", {"lid": 0.5})
    with_views(folder, SCORES)
    with pytest.raises(BundleCorrupt, match="in bundles of one product only"):
        open_bundle(folder)
