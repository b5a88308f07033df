"""The second graph: run where it is needed, and never able to change a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings, EngineSettings
from edge.engines.load import engine_key, load_engine, load_types_engine
from edge.engines.protocol import EngineInfo
from edge.errors import EngineError, InferenceError
from edge.inspection.inspector import Inspector
from edge.result import Inspection, Reason, Verdict
from tests.support.bundles import DEMO_BUNDLE, make_bundle, with_two_graphs


def with_threshold(bundle: Bundle, value: float) -> Bundle:
    score = bundle.thresholds.score.model_copy(update={"value": value})
    return replace(bundle, thresholds=bundle.thresholds.model_copy(update={"score": score}))


class Judging:
    """Answers with a score, and a map that stands out in the middle of the left half."""

    info = EngineInfo("fake", "1", "fp32", "CPU", 1)

    def __init__(self, score: float, peak: float | None = None):
        self.answer = score
        self.peak = 2 * score if peak is None else peak

    def run(self, _inputs: Mapping[str, Any]) -> dict[str, Any]:
        level = np.zeros((1, 128, 128), np.float32)
        level[0, 48:80, 16:48] = self.peak
        return {"map": level, "score": np.array([self.answer], np.float32)}

    def close(self) -> None: ...


class Naming:
    """The bundle's real types engine, counting; `fault` makes it fail, `value` answer nonsense."""

    def __init__(self, bundle: Bundle):
        self._engine = load_types_engine(bundle, EngineSettings(threads=1))
        self.runs = 0
        self.fault: Exception | None = None
        self.value: float | None = None

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.runs += 1
        if self.fault:
            raise self.fault
        outputs = self._engine.run(inputs)
        if self.value is not None:
            outputs["type_logits"][:] = self.value
        return outputs

    def close(self) -> None:
        self._engine.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = make_bundle(tmp_path_factory.mktemp("bundles"), "typed", threshold=1.0)
    return open_bundle(with_two_graphs(folder))


@pytest.fixture
def naming(bundle: Bundle):
    engine = Naming(bundle)
    yield engine
    engine.close()


def picture() -> np.ndarray:
    """White on the left, black on the right: (64, 96, 3)."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48] = 255
    return pixels


def inspect(bundle: Bundle, engine: Judging, naming: Naming, **settings: Any) -> Inspection:
    inspector = Inspector(bundle, engine, DecisionSettings(**settings), naming)
    return inspector.inspect(frame_now("top", 0, picture()))[0]


def test_a_bundle_says_which_graph_does_what(bundle: Bundle) -> None:
    assert bundle.graph.role == "detect"
    assert bundle.types_graph is not None
    assert bundle.types_graph.file == "models/types.onnx"
    assert bundle.recipe.types_size_wh == (96, 64)
    plain = open_bundle(DEMO_BUNDLE)
    assert plain.types_graph is None
    with load_types_engine(plain, EngineSettings()) as engine:
        assert engine is None
    with load_engine(plain, EngineSettings()) as engine:
        assert engine_key(plain, engine.info) != engine_key(bundle, engine.info)


@pytest.mark.parametrize(
    ("types", "runs"), [("rejected", {"pass": 0, "fail": 1}), ("always", {"pass": 1, "fail": 1})]
)
def test_the_setting_says_for_whom_it_runs(
    bundle: Bundle, naming: Naming, types: str, runs: dict[str, int]
) -> None:
    passed = inspect(bundle, Judging(0.5), naming, types=types)
    assert (passed.verdict, passed.regions, naming.runs) == (Verdict.PASS, (), runs["pass"])
    naming.runs = 0
    failed = inspect(bundle, Judging(1.5), naming, types=types)
    assert (failed.verdict, naming.runs) == (Verdict.FAIL, runs["fail"])
    (region,) = failed.regions
    assert region.type == "bright"
    assert region.type_score is not None
    assert region.type_score > 0.99


def test_a_region_is_named_by_what_lies_under_it(bundle: Bundle, naming: Naming) -> None:
    """The dark half is named dark: logits and map are brought to one size."""
    inspector = Inspector(bundle, Judging(1.5), DecisionSettings(), naming)
    dark_left = np.ascontiguousarray(picture()[:, ::-1])
    (region,) = inspector.inspect(frame_now("top", 0, dark_left))[0].regions
    assert region.type == "dark"


def test_undecided_parts_are_named_too(bundle: Bundle, naming: Naming) -> None:
    """Their score is below the threshold, a few pixels need not be."""
    close = Judging(1.0, peak=1.2)
    unsure = inspect(bundle, close, naming, undecided_p=0.2)
    assert (unsure.verdict, naming.runs) == (Verdict.UNDECIDED, 1)
    assert [region.type for region in unsure.regions] == ["bright"]
    assert inspect(bundle, Judging(1.0, peak=0.9), naming, undecided_p=0.2).regions == ()
    assert inspect(bundle, close, naming).verdict is Verdict.PASS
    assert naming.runs == 2, "parts that pass are not named"


def test_its_time_counts_as_inference(bundle: Bundle, naming: Naming, monkeypatch) -> None:
    """On a clock that advances one second at each look."""
    clock = iter(range(1000))
    for module in ("inspector", "scorer", "type_scorer"):
        monkeypatch.setattr(f"edge.inspection.{module}.perf_counter", lambda: next(clock))
    alone = inspect(bundle, Judging(0.5), naming).times
    both = inspect(bundle, Judging(1.5), naming).times
    # Pre-processing: the check of the frame, and the network input.
    assert (alone.preprocess_ms, alone.infer_ms, alone.postprocess_ms) == (2000, 1000, 1000)
    assert (both.preprocess_ms, both.infer_ms) == (3000, 2000)
    # Three looks at the clock lie between the ends of the last stage, two seconds were the graph's.
    assert both.postprocess_ms == 2000


@pytest.mark.parametrize("types", ["rejected", "always"])
@pytest.mark.parametrize("broken", ["fault", "value"])
@pytest.mark.parametrize("score", [0.5, 1.5])
def test_its_failure_changes_no_verdict(
    bundle: Bundle, naming: Naming, types: str, broken: str, score: float
) -> None:
    expected = inspect(bundle, Judging(score), naming, types=types)
    setattr(naming, broken, InferenceError("out of memory") if broken == "fault" else np.nan)
    found = inspect(bundle, Judging(score), naming, types=types)
    assert (found.verdict, found.reason) == (expected.verdict, expected.reason)
    assert found.score == expected.score
    assert [r.bbox_xywh for r in found.regions] == [r.bbox_xywh for r in expected.regions]
    if found.verdict is Verdict.FAIL:
        assert found.reason is Reason.SCORE_ABOVE_THRESHOLD
        assert found.regions[0].type == "unknown"
        assert found.regions[0].type_score is None
    was_asked = types == "always" or score > 1
    assert found.detail.startswith("types not named: ") == was_asked


def test_it_may_not_fail_for_ever(bundle: Bundle, naming: Naming) -> None:
    settings = DecisionSettings(max_engine_failures=3)
    inspector = Inspector(bundle, Judging(1.5), settings, naming)
    frame = frame_now("top", 0, picture())
    naming.fault = InferenceError("out of memory")
    inspector.inspect(frame)
    inspector.inspect(frame)
    naming.fault = None
    inspector.inspect(frame)
    assert inspector.failures_in_a_row == 0, "one success starts anew"
    naming.fault = InferenceError("out of memory")
    inspector.inspect(frame)
    inspector.inspect(frame)
    with pytest.raises(EngineError, match="3 inferences failed in a row, last: out of memory"):
        inspector.inspect(frame)


def test_an_engine_forgotten_is_noticed_at_once(bundle: Bundle, naming: Naming) -> None:
    with pytest.raises(ValueError, match="expected a types engine"):
        Inspector(bundle, Judging(0.5), DecisionSettings())
    with pytest.raises(ValueError, match="expected a types engine"):
        Inspector(open_bundle(DEMO_BUNDLE), Judging(0.5), DecisionSettings(), naming)


def test_both_real_engines_of_a_bundle_judge_and_name(bundle: Bundle) -> None:
    settings = EngineSettings(threads=1)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspector = Inspector(with_threshold(bundle, 0.2), engine, DecisionSettings(), types)
        pixels = np.full((120, 160, 3), 128, np.uint8)
        assert inspector.inspect(frame_now("top", 0, pixels.copy()))[0].verdict is Verdict.PASS
        pixels[10:50, 10:50] = 180, 180, 255
        pixels[60:100, 100:140] = 0, 0, 100
        failed, _ = inspector.inspect(frame_now("top", 0, pixels))
        assert failed.score == pytest.approx(100 / 255)
        assert [region.type for region in failed.regions] == ["dark", "bright"]
        assert failed.regions[1].bbox_xywh == (10, 10, 40, 40)
