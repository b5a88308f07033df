"""What edge-eval measures pixel by pixel needs the memory of a few pictures, however many come."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle.frame_limits_file import without_limits
from edge.bundle.store import open_bundle
from edge.data.image_set import ImageSet, read_image_set
from edge.engines.protocol import EngineInfo
from edge.evaluation import sorted_keys
from edge.evaluation.evaluate import Evaluation, evaluate

DEMO = Path(__file__).resolve().parents[2] / "demo"
SIDE = 256


class BrightEngine:
    """Calls what is bright a defect: map = brightness / 100, score = its maximum."""

    info = EngineInfo("bright", "1", "fp32", "CPU", 1)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        level = inputs["frame"][:, ::2, ::2, 0].astype(np.float32) / 100
        return {"map": level, "score": level.max((1, 2))}

    def close(self) -> None: ...


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Two good parts and two with a spot, all noisy: their maps have many values."""
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[64:96, 32:64] = 255
    for folder in ("test/good", "test/spot", "ground_truth/spot"):
        (tmp_path / folder).mkdir(parents=True)
    for name in "ab":
        good, spot = rng.integers(0, 90, (2, SIDE, SIDE, 3), np.uint8)
        spot[mask > 0] += 60
        cv2.imwrite(str(tmp_path / f"test/good/{name}.png"), good)
        cv2.imwrite(str(tmp_path / f"test/spot/{name}.png"), spot)
        cv2.imwrite(str(tmp_path / f"ground_truth/spot/{name}_mask.png"), mask)
    return read_image_set(tmp_path)


def test_memory_does_not_grow_with_the_pictures(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the maps of anomalies nor those of types are kept, and the figures are the same."""
    monkeypatch.setattr(sorted_keys, "RUN_KEYS", SIDE * SIDE)
    monkeypatch.setattr(sorted_keys, "MERGE_KEYS", SIDE * SIDE)
    demo = without_limits(open_bundle(DEMO / "bundle"))
    changes = {"frame_quality": None, "defect_types": ("spot", "dent")}
    bundle = replace(demo, recipe=demo.recipe.model_copy(update=changes))

    def peak(times: int) -> tuple[int, Evaluation]:
        tracemalloc.start()
        try:
            many = replace(images, test=images.test * times)
            found = evaluate(bundle, BrightEngine(), many, lambda _: None)
            return tracemalloc.get_traced_memory()[1], found
        finally:
            tracemalloc.stop()

    peak(1)  # what is made once
    (few, first), (many, second) = peak(2), peak(7)
    assert second.good == 14
    assert 0 < first.pixel.ranking.ap < 1
    for one, other in (
        (first.pixel.ranking.auroc, second.pixel.ranking.auroc),
        (first.pixel.ranking.ap, second.pixel.ranking.ap),
        (first.aupro, second.aupro),
        (first.segmentation.ap, second.segmentation.ap),
    ):
        assert other == pytest.approx(one, abs=1e-9), "the same pictures, more often"
    one_map = 4 * SIDE * SIDE
    assert many - few < 3 * one_map, "20 pictures more have come"
