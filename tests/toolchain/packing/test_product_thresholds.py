"""A bundle for several products judges each by its own good parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.store import open_bundle
from edge.bundle.thresholds import Thresholds
from edge.errors import ThresholdError
from edge.toolchain.packing.product_thresholds import ProductScores, write_products
from edge.toolchain.packing.thresholds import fit_threshold
from tests.support.bundles import DEMO_BUNDLE, sign


def scores(offset: float, count: int = 120) -> ProductScores:
    values = offset + np.random.default_rng(int(offset)).random(count)
    return ProductScores(
        scores=values.tolist(),
        groups=[f"part-{i // 2}" for i in range(count)],
        grey=[(100 + offset, 40.0)] * count,
    )


def test_a_packed_bundle_serves_every_product_by_its_own_scores(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    shutil.copytree(DEMO_BUNDLE, folder)
    measured = {"lid": scores(1), "box": scores(5)}
    path = folder / "thresholds.json"
    thresholds = Thresholds.model_validate_json(path.read_text())
    products = write_products(folder, measured, alpha=0.02)
    path.write_text(
        thresholds.model_copy(update={"products": products}).model_dump_json(by_alias=True)
    )
    whole = open_bundle(sign(folder))
    for name, own in measured.items():
        bundle = whole.for_product(name)
        assert bundle.thresholds.score == fit_threshold(own.scores, own.groups, 0.02)
        assert bundle.scores == tuple(sorted(own.scores))
        rejected = sum(score > bundle.thresholds.score.value for score in own.scores)
        assert rejected <= 0.02 * len(own.scores)
        quality = bundle.recipe.frame_quality
        assert quality is not None
        assert quality.mean[0] < own.grey[0][0] < quality.mean[1]
    assert whole.for_product("lid").thresholds.score.value < 2.1
    assert whole.for_product("box").thresholds.score.value > 5.0


def test_a_product_with_too_few_good_parts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThresholdError, match=r"product box: --alpha 0\.001: 120 held-out"):
        write_products(tmp_path, {"box": scores(5)}, alpha=0.001)


def test_without_grey_statistics_the_recipe_s_quality_holds(tmp_path: Path) -> None:
    bare = ProductScores([0.1, 0.2, 0.3], ["a", "b", "c"])
    assert write_products(tmp_path, {"x": bare})["x"].frame_quality is None
    assert json.loads((tmp_path / "calibration" / "scores.x.json").read_text())["scores"] == [
        0.1, 0.2, 0.3,
    ]  # fmt: skip
