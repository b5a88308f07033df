"""One bundle for several products: same graph, thresholds of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.bundle.store import open_bundle
from edge.errors import BundleCorrupt, BundleError
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle_for, sign


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle_for(tmp_path, "all", {"lid": 0.5, "box": 1.5})


def test_a_product_has_its_own_threshold_and_scores_and_the_common_rest(folder: Path) -> None:
    whole = open_bundle(folder)
    lid, box = whole.for_product("lid"), whole.for_product("box")
    assert (lid.thresholds.score.value, box.thresholds.score.value) == (0.5, 1.5)
    assert whole.thresholds.score.value == open_bundle(DEMO_BUNDLE).thresholds.score.value
    assert len(lid.scores) == len(whole.scores) // 2
    assert (whole.product, lid.product) == (None, "lid")
    assert lid.id == whole.id
    assert lid.graph == whole.graph
    assert lid.recipe == whole.recipe


def test_a_product_may_bring_the_quality_of_its_frames(folder: Path) -> None:
    path = folder / "thresholds.json"
    products = json.loads(path.read_text())["products"]
    products["lid"]["frame_quality"] = {"mean": [10, 20], "std": [1, 2]}
    edit_json(path, products=products)
    whole = open_bundle(sign(folder))
    quality = whole.for_product("lid").recipe.frame_quality
    assert quality is not None
    assert quality.mean == (10, 20)
    assert whole.for_product("box").recipe.frame_quality == whole.recipe.frame_quality


def test_an_unknown_product_is_named_with_those_there_are(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"expected one of its products \(lid, box\), got cup"):
        open_bundle(folder).for_product("cup")
    with pytest.raises(BundleError, match=r"\(none\), got cup"):
        open_bundle(DEMO_BUNDLE).for_product("cup")


@pytest.mark.parametrize(
    ("products", "problem"),
    [
        ({"a/b": {}}, "products.a/b"),
        ({"lid": {"scores_file": "../x"}}, "scores_file"),
        ({"lid": {"scores_file": "calibration/none.json"}}, "none.json"),
    ],
)
def test_what_is_wrong_with_a_product_is_found_at_once(
    folder: Path, products: dict, problem: str
) -> None:
    path = folder / "thresholds.json"
    known = json.loads(path.read_text())["products"]["lid"]
    edit_json(path, products={name: {**known, **own} for name, own in products.items()})
    sign(folder)
    with pytest.raises(BundleCorrupt, match=problem):
        open_bundle(folder)


def test_an_altered_threshold_of_a_product_is_seen(folder: Path) -> None:
    path = folder / "thresholds.json"
    path.write_text(path.read_text().replace("1.5", "9.5"))
    with pytest.raises(BundleCorrupt, match=r"thresholds\.json was altered"):
        open_bundle(folder)


def test_type_logits_and_named_types_must_agree(folder: Path) -> None:
    path = folder / "recipe.yaml"
    named = path.read_text()
    path.write_text(re.sub(r"(?m)^defect_types: .*$", "defect_types: [a, b]", named))
    sign(folder)
    with pytest.raises(BundleCorrupt, match=r"names 2 defect types, models/.* tells 6 apart"):
        open_bundle(folder)
    path.write_text(re.sub(r"(?m)^defect_types: .*$", "defect_types: [a, b, c, d, e, f]", named))
    assert open_bundle(sign(folder)).recipe.defect_types == tuple("abcdef")
