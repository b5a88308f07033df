"""What quantization adds to scores of good parts is measured, and subtracted in the graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edge.toolchain.quantization.bias_correction import score_bias, subtract_bias, without_bias
from edge.toolchain.quantization.fp16 import to_fp16
from edge.toolchain.quantization.graph import element_types
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.int8 import quantize
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings
from tests.support.precision_graphs import small_frames, small_network, with_outliers

LOOSE = Int8Settings(form="trt", limit=2.0)
THRESHOLD = 6.0


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Quantization moves its scores by far more than they scatter."""
    return with_outliers()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return small_frames(6)


def said(model: onnx.ModelProto, frames: np.ndarray) -> list[dict[str, np.ndarray]]:
    return list(Runner(model).each(frames))


@pytest.mark.parametrize("bias", [0.75, -0.25])
def test_map_and_score_each_lose_it_once(
    model: onnx.ModelProto, frames: np.ndarray, bias: float
) -> None:
    lowered = subtract_bias(model, bias)
    assert [value.name for value in lowered.graph.output] == ["map", "score"]
    for before, after in zip(said(model, frames), said(lowered, frames), strict=True):
        expected = without_bias(before, bias)
        for name in ("map", "score"):
            assert np.array_equal(expected[name], before[name] - np.float32(bias))
            assert np.allclose(after[name], expected[name], atol=1e-5)
        # A score above the threshold goes with a place above it.
        assert float(after["score"][0]) == pytest.approx(float(after["map"].max()), abs=1e-6)


def test_what_names_types_alone_has_none(frames: np.ndarray) -> None:
    logits = [{"type_logits": np.ones((1, 2, 4, 4), np.float32)} for _ in frames]
    assert score_bias(logits, logits) == 0.0
    assert without_bias(logits[0], 3.0)["type_logits"] is logits[0]["type_logits"]


@pytest.mark.parametrize("form", ["cpu", "trt"])
def test_a_quantized_graph_scores_good_parts_as_fp32_on_average(
    model: onnx.ModelProto, frames: np.ndarray, form: str
) -> None:
    """Told by fresh frames, it holds on others that the rounding has not seen."""
    settings = Int8Settings.model_validate({"form": form, "limit": 2.0})
    fresh, unseen = small_frames(24, seed=5), small_frames(24, seed=6)
    made = quantize(model, frames, settings, THRESHOLD, fresh=fresh)
    calibration = calibrate(model, frames, settings)
    plain = quantized_graph(calibration, calibration.layers)

    def added(graph: onnx.ModelProto, pictures: np.ndarray) -> float:
        return score_bias(said(model, pictures), said(graph, pictures))

    assert made.report.fresh == 24
    assert made.report.bias == pytest.approx(added(plain, fresh))
    assert made.report.bias != pytest.approx(added(plain, frames))
    assert added(made.model, fresh) == pytest.approx(0, abs=1e-5)
    assert abs(added(made.model, unseen)) < 0.5 * abs(added(plain, unseen))
    assert f"| {made.report.chosen.shift:+.4f} |" in made.report.as_markdown()


def test_without_fresh_frames_all_good_ones_tell_it(
    model: onnx.ModelProto, frames: np.ndarray
) -> None:
    """Probes never do: they may show defects, whose scores move otherwise."""
    alone = quantize(model, frames, LOOSE, THRESHOLD)
    probes = 255 - small_frames(3, seed=9)
    beside = quantize(model, frames, LOOSE, THRESHOLD, probes=probes).report
    assert score_bias(said(model, frames), said(alone.model, frames)) == pytest.approx(0, abs=1e-5)
    assert beside.every.shift == alone.report.every.shift != 0
    assert (beside.frames, beside.fresh, beside.probes) == (6, 0, 3)


def scores(values: list[float]) -> list[dict[str, np.ndarray]]:
    return [{"score": np.array([value], np.float32)} for value in values]


def test_what_may_be_chance_is_left(frames: np.ndarray) -> None:
    level = scores([0.0] * 4)
    assert score_bias(level, scores([0.3, 0.4, 0.5, 0.4])) == pytest.approx(0.4)
    assert score_bias(level, scores([-0.3, -0.4, -0.5, -0.4])) == pytest.approx(-0.4)
    assert score_bias(level, scores([0.9, -0.1, -0.1, 0.9])) == 0.0
    assert score_bias(level[:1], scores([0.4])) == 0.0
    steady = quantize(small_network(), frames, LOOSE, THRESHOLD, fresh=small_frames(24, seed=5))
    assert steady.report.bias == 0.0
    assert "bias" not in {entry.name for entry in steady.model.graph.initializer}


def test_it_is_taken_off_in_fp32(model: onnx.ModelProto, frames: np.ndarray) -> None:
    made = quantize(model, frames, LOOSE, THRESHOLD)
    half = to_fp16(made.model)
    types = element_types(half)
    ends = [node for node in half.graph.node if node.output[0] in ("map", "score")]
    assert [node.op_type for node in ends] == ["Sub"] * 2
    assert {types[name] for node in ends for name in node.input} == {TensorProto.FLOAT}
