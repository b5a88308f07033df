"""From frame to inspection, on an engine that answers as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.bundle.manifest import FrameQuality
from edge.bundle.store import Bundle, open_bundle
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings
from edge.engines.protocol import EngineInfo
from edge.errors import EngineError, EngineLoadError, InferenceError
from edge.frame import Part
from edge.geometry.place import Place
from edge.geometry.rectification import Rectification
from edge.geometry.scale import Scale
from edge.inspection.inspector import Inspector
from edge.inspection.preprocess import tile_boxes
from edge.inspection.scorer import FrameScorer, stitch
from edge.result import Reason, Verdict
from tests.support.any_frame_bundle import ANY_FRAME_BUNDLE, PACKAGED_BUNDLE


class FakeEngine:
    """Answers with a fixed score and a map that is high in one corner."""

    info = EngineInfo("fake", "1", "fp32", "CPU", 1)

    def __init__(self, score: float = 0.0):
        self.answer = score
        self.fault: Exception | None = None
        self.seen: list[np.ndarray] = []

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        self.seen.append(inputs["frame"].copy())
        level = np.zeros((1, 128, 128), np.float32)
        level[0, :8, :8] = 2 * self.answer
        return {"map": level, "score": np.array([self.answer], np.float32)}

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(ANY_FRAME_BUNDLE)


def pixels() -> np.ndarray:
    """Passes the demo's brightness and contrast check."""
    return np.where(np.indices((64, 64)).sum(0)[..., None] % 32 < 16, 255, 0).astype(
        np.uint8
    ) * np.ones(3, np.uint8)


def inspect(bundle: Bundle, engine: FakeEngine, frame=None, **settings: Any):
    inspector = Inspector(bundle, engine, DecisionSettings(**settings))
    return inspector.inspect(frame or frame_now("top", 7, pixels(), part=Part("p", "file")))


def test_pass_and_fail_at_the_threshold(bundle: Bundle) -> None:
    threshold = bundle.thresholds.score.value
    passed, _ = inspect(bundle, FakeEngine(np.float32(threshold) * 0.99))
    assert (passed.verdict, passed.reason) == (Verdict.PASS, Reason.SCORE_BELOW_THRESHOLD)
    assert passed.regions == ()
    failed, anomaly_map = inspect(bundle, FakeEngine(threshold * 1.01))
    assert (failed.verdict, failed.reason) == (Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD)
    assert failed.regions[0].bbox_xywh == (0, 0, 4, 4)
    assert anomaly_map is not None
    assert failed.p_value == pytest.approx(1 / (1 + len(bundle.scores)))
    assert (failed.frame_id, failed.camera, failed.size_wh) == (7, "top", (64, 64))
    assert failed.part == Part("p", "file")


def test_the_uncertainty_band_is_off_unless_asked_for(bundle: Bundle) -> None:
    close = FakeEngine(bundle.thresholds.score.value)
    assert inspect(bundle, close)[0].verdict is Verdict.PASS
    unsure, _ = inspect(bundle, close, undecided_p=0.2)
    assert (unsure.verdict, unsure.reason) == (Verdict.UNDECIDED, Reason.IN_UNCERTAINTY_BAND)
    assert inspect(bundle, FakeEngine(min(bundle.scores)), undecided_p=0.2)[0].verdict is (
        Verdict.PASS
    )


def test_a_frame_that_is_no_picture_may_fail_but_never_pass(bundle: Bundle) -> None:
    quality = FrameQuality(mean=(50, 200), std=(20, 150))
    strict = Bundle(
        bundle.folder,
        bundle.id,
        bundle.manifest,
        bundle.recipe.model_copy(update={"frame_quality": quality}),
        bundle.thresholds,
        bundle.scores,
    )
    dark = frame_now("top", 0, np.zeros((64, 64, 3), np.uint8))
    doubtful, _ = inspect(strict, FakeEngine(0.0), dark)
    assert (doubtful.verdict, doubtful.reason) == (Verdict.UNDECIDED, Reason.IMAGE_QUALITY)
    assert "brightness 0" in doubtful.detail
    assert inspect(strict, FakeEngine(99.0), dark)[0].verdict is Verdict.FAIL


def test_a_frame_of_another_size_is_not_scored() -> None:
    engine = FakeEngine(99.0)
    result, anomaly_map = inspect(open_bundle(PACKAGED_BUNDLE), engine)
    assert (result.verdict, result.reason) == (Verdict.UNDECIDED, Reason.IMAGE_QUALITY)
    assert result.detail.startswith("frame size: expected 256x256, got 64x64")
    assert result.score is None
    assert anomaly_map is None
    assert engine.seen == []


@pytest.mark.parametrize("score", [0.0, 99.0])
def test_a_damaged_frame_may_fail_but_never_pass(score: float) -> None:
    bundle = open_bundle(PACKAGED_BUNDLE)
    whole = bundle.golden_pixels(bundle.golden().images[0])
    damaged = whole.copy()
    damaged[128:] = 0
    result, _ = inspect(bundle, FakeEngine(0.0), frame_now("top", 0, whole))
    assert result.verdict is Verdict.PASS
    result, _ = inspect(bundle, FakeEngine(score), frame_now("top", 0, damaged))
    assert result.verdict is (Verdict.FAIL if score else Verdict.UNDECIDED)
    assert "blank dark rows 0.50 outside" in result.detail


def test_a_faulty_frame_is_an_error_result(bundle: Bundle) -> None:
    broken = frame_now("top", 3, None, fault="x.png: broken")
    result, anomaly_map = inspect(bundle, FakeEngine(), broken)
    assert (result.verdict, result.reason) == (Verdict.ERROR, Reason.CAMERA_ERROR)
    assert result.detail == "x.png: broken"
    assert result.score is None
    assert anomaly_map is None


def test_failed_inferences_are_results_until_there_are_too_many(bundle: Bundle) -> None:
    engine = FakeEngine()
    inspector = Inspector(bundle, engine, DecisionSettings(max_engine_failures=3))
    frame = frame_now("top", 0, pixels())
    engine.fault = InferenceError("out of memory")
    for _ in range(2):
        result, _ = inspector.inspect(frame)
        assert (result.verdict, result.reason) == (Verdict.ERROR, Reason.ENGINE_ERROR)
        assert result.detail == "out of memory"
    engine.fault = None
    assert inspector.inspect(frame)[0].verdict is Verdict.PASS, "one success starts anew"
    engine.fault = InferenceError("out of memory")
    inspector.inspect(frame)
    inspector.inspect(frame)
    with pytest.raises(EngineError, match="3 inferences failed in a row, last: out of memory"):
        inspector.inspect(frame)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_no_pass(bundle: Bundle, value: float) -> None:
    result, _ = inspect(bundle, FakeEngine(value))
    assert (result.verdict, result.reason) == (Verdict.ERROR, Reason.ENGINE_ERROR)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_map_with_one_value_that_is_not_finite_is_no_pass(bundle: Bundle, value: float) -> None:
    class Damaged(FakeEngine):
        def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            outputs = super().run(inputs)
            outputs["map"][0, 100, 3] = value
            return outputs

    result, _ = inspect(bundle, Damaged())
    assert (result.verdict, result.reason) == (Verdict.ERROR, Reason.ENGINE_ERROR)


def test_the_self_test_refuses_an_engine_that_decides_otherwise(bundle: Bundle) -> None:
    with pytest.raises(EngineLoadError, match=r"golden picture .* the engine says 0.0000"):
        Inspector(bundle, FakeEngine(0.0), DecisionSettings()).self_test()


@pytest.mark.parametrize(
    ("share", "is_taken"), [(0.9, True), (-0.9, True), (1.1, False), (-1.1, False)]
)
def test_the_self_test_allows_the_tolerance_and_no_more(
    bundle: Bundle, share: float, is_taken: bool
) -> None:
    """Verdicts agree in all cases: only the scores tell that the engine computes otherwise."""

    class ShiftedEngine(FakeEngine):
        def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            image = bundle.test_pictures()[len(self.seen)]
            self.answer = image.score + share * bundle.golden().score_tolerance
            return super().run(inputs)

    inspector = Inspector(bundle, ShiftedEngine(), DecisionSettings())
    if is_taken:
        inspector.self_test()
    else:
        with pytest.raises(EngineLoadError, match=r"golden picture .*: expected score"):
            inspector.self_test()


def test_the_engine_sees_rgb_at_network_size(bundle: Bundle) -> None:
    engine = FakeEngine()
    blue = np.zeros((100, 50, 3), np.uint8)
    blue[..., 0] = 200
    inspect(bundle, engine, frame_now("top", 0, blue))
    (seen,) = engine.seen
    assert seen.shape == (1, 256, 256, 3)
    assert seen[0, 9, 9].tolist() == [0, 0, 200]


def test_tiles_are_judged_each_and_the_worst_decides(bundle: Bundle) -> None:
    recipe = bundle.recipe.model_copy(
        update={"tiles_wh": (2, 2), "overlap": 0.2, "frame_quality": None}
    )

    class BrightIsBad(FakeEngine):
        def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            self.answer = float(inputs["frame"].mean())
            return super().run(inputs)

    engine = BrightIsBad()
    frame = np.zeros((512, 512, 3), np.uint8)
    frame[300:, 300:] = 100  # only the last tile
    scored = FrameScorer(engine, recipe, bundle.graph).score(frame)
    assert len(engine.seen) == 4
    brightest = max(float(tile.mean()) for tile in engine.seen)
    assert scored.score == pytest.approx(brightest)
    hottest = np.unravel_index(scored.map.argmax(), scored.map.shape)
    assert min(hottest) > scored.map.shape[0] * 0.4, "the heat lies in the last tile's corner"


def test_each_tile_names_its_own_place_and_both_name_their_overlap(bundle: Bundle) -> None:
    class NamesTypes(FakeEngine):
        """Type 1 on dark tiles, type 2 on bright ones; one buffer for all answers."""

        logits = np.zeros((1, 7, 4, 4), np.float32)

        def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            self.logits[:] = 0
            self.logits[0, 2 if inputs["frame"].mean() > 100 else 1] = 4
            return super().run(inputs) | {"type_logits": self.logits}

    whole = FrameScorer(NamesTypes(), bundle.recipe, bundle.graph).score(pixels())
    assert whole.type_logits is not None
    assert whole.type_logits.shape == (7, 4, 4)
    recipe = bundle.recipe.model_copy(update={"tiles_wh": (2, 1), "overlap": 0.5})
    frame = np.zeros((120, 240, 3), np.uint8)
    frame[:, 120:] = 255
    logits = FrameScorer(NamesTypes(), recipe, bundle.graph).score(frame).type_logits
    assert logits is not None
    assert logits.shape == (7, 4, 6)
    assert logits[1, 0].tolist() == [4, 4, 2, 2, 0, 0]
    assert logits[2, 0].tolist() == [0, 0, 2, 2, 4, 4]


def test_times_of_tiles_add_up_and_their_brightness_is_averaged(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that advances one second at each look."""
    clock = iter(range(1000))
    monkeypatch.setattr("edge.inspection.scorer.perf_counter", lambda: next(clock))
    accepted = bundle.recipe.frame_quality
    assert accepted is not None
    limits = accepted.model_copy(update={"mean": (99.0, 101.0), "std": (0.0, 128.0)})
    recipe = bundle.recipe.model_copy(
        update={"tiles_wh": (2, 1), "overlap": 0.0, "frame_quality": limits}
    )
    frame = np.full((64, 128, 3), 60, np.uint8)
    frame[:, 64:] = 140
    scored = FrameScorer(FakeEngine(), recipe, bundle.graph).score(frame)
    assert (scored.preprocess_ms, scored.infer_ms) == (2000, 2000)
    assert scored.quality_problem is None, "100 on average"


@pytest.mark.parametrize("values", [(1.0, 3.0), (3.0, 1.0)])
def test_stitching_keeps_the_higher_value_where_tiles_overlap(values: tuple[float, float]) -> None:
    boxes = tile_boxes((100, 50), (2, 1), 0.2)
    maps = [np.full((10, 11), value, np.float32) for value in values]
    whole = stitch(maps, boxes, (100, 50))
    assert whole.shape == (10, 20)
    assert whole[0, 0] == values[0]
    assert whole[0, 10] == 3.0
    assert whole[0, -1] == values[1]


def test_the_scale_of_the_place_takes_precedence(bundle: Bundle) -> None:
    frame, engine = frame_now("top", 0, pixels()), FakeEngine(99.0)
    scaled = replace(bundle, recipe=bundle.recipe.model_copy(update={"mm_per_px": 0.5}))

    def inspected(place):
        return Inspector(scaled, engine, DecisionSettings(), place=place).inspect(frame)

    by_recipe, by_place = inspected(None), inspected(Place(scale=Scale(mm_per_px=0.1)))
    assert by_recipe.inspection.mm_per_px == 0.5
    assert by_place.inspection.mm_per_px == 0.1
    (one,), (other,) = by_recipe.inspection.regions, by_place.inspection.regions
    assert one == replace(other, area_mm2=one.area_mm2)
    assert other.area_mm2 == pytest.approx(other.area_px * 0.01)
    assert np.array_equal(engine.seen[0], engine.seen[1])


def test_a_place_is_seen_before_the_recipe_and_told_in_pixels_of_the_frame(bundle: Bundle) -> None:
    plane = Rectification(
        points_xy=((32, 0), (63, 0), (63, 31), (32, 31)), size_wh=(64, 64), frame_wh=(64, 64)
    )
    place, engine = Place(rectification=plane, scale=Scale(mm_per_px=0.1)), FakeEngine(99.0)
    inspector = Inspector(bundle, engine, DecisionSettings(), place=place)
    inspection, anomaly_map = inspector.inspect(frame_now("top", 0, pixels()))
    # The network sees the upper right quarter of the frame, in full size.
    FrameScorer(engine, bundle.recipe, bundle.graph).score(plane.apply(pixels()))
    assert np.array_equal(engine.seen[0], engine.seen[1])
    # The map is high in that quarter's corner: 4 pixels of the view, 2 of the frame.
    (region,) = inspection.regions
    assert np.abs(np.subtract(region.bbox_xywh, (32, 0, 2, 2))).max() <= 1
    assert region.area_mm2 == pytest.approx(16 * 0.01)
    assert region.area_px == pytest.approx(4, rel=0.1)
    assert anomaly_map[:64].argmax() // 128 < 6
    assert anomaly_map[:, :62].max() == 0
    assert inspection.size_wh == (64, 64)


def test_a_frame_that_does_not_fit_its_place_may_not_pass(bundle: Bundle) -> None:
    plane = Rectification(
        points_xy=((0, 0), (31, 0), (31, 31), (0, 31)), size_wh=(64, 64), frame_wh=(640, 480)
    )
    engine = FakeEngine(0.0)
    inspector = Inspector(bundle, engine, DecisionSettings(), place=Place(rectification=plane))
    inspection, anomaly_map = inspector.inspect(frame_now("top", 0, pixels()))
    assert (inspection.verdict, inspection.reason) == (Verdict.UNDECIDED, Reason.IMAGE_QUALITY)
    assert "rectification: expected a frame of 640x480, got 64x64" in inspection.detail
    assert anomaly_map is None
    assert not engine.seen
