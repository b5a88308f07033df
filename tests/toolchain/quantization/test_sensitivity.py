"""The measured pass: the layer that hurts is found and left out, and the report says so."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest

from edge.errors import PrecisionError
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.int8 import QuantizedModel, quantize
from edge.toolchain.quantization.output_differences import output_difference
from edge.toolchain.quantization.settings import Int8Settings
from tests.support.precision_graphs import HURTING, small_frames, with_outliers


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return with_outliers()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return small_frames(6)


@pytest.fixture(scope="module")
def threshold(model: onnx.ModelProto, frames: np.ndarray) -> float:
    return 1.1 * max(float(values["score"][0]) for values in Runner(model).each(frames))


@pytest.fixture(scope="module")
def found(model: onnx.ModelProto, frames: np.ndarray, threshold: float) -> QuantizedModel:
    counted: list[int] = []
    made = quantize(
        model, frames, Int8Settings(form="trt", limit=0.03), threshold, advance=counted.append
    )
    assert counted == [1] * len(made.report.layers)
    return made


def test_the_layer_that_hurts_is_measured_worst_and_left_out(found: QuantizedModel) -> None:
    report = found.report
    worst = max(report.layers, key=lambda layer: layer.difference.error)
    assert worst.label == HURTING
    assert report.excluded == (HURTING,)
    assert report.every.score > report.limit >= report.chosen.score
    node = next(node for node in found.model.graph.node if node.output[0] == f"{HURTING}_out")
    weights = {entry.name: entry.data_type for entry in found.model.graph.initializer}
    assert weights[node.input[1]] == onnx.TensorProto.FLOAT


def test_the_report_is_what_the_graph_does(
    found: QuantizedModel, model: onnx.ModelProto, frames: np.ndarray, threshold: float
) -> None:
    reference, candidate = (list(Runner(m).each(frames)) for m in (model, found.model))
    measured = output_difference(reference, candidate, threshold)
    assert measured.shift == pytest.approx(0, abs=1e-6), "subtracted in the graph"
    assert measured == replace(found.report.chosen, shift=measured.shift)
    scores = [(float(a["score"][0]), float(b["score"][0])) for a, b in zip(reference, candidate)]
    assert found.report.chosen.score == pytest.approx(
        max(abs(a - b) for a, b in scores) / threshold
    )


def test_the_report_is_a_table_with_the_worst_layer_first(found: QuantizedModel) -> None:
    assert {layer.label for layer in found.report.layers} == {
        "stem", "deep", "project", "expand", "shrink", "fc1", "fc2"
    }  # fmt: skip
    table = found.report.as_markdown()
    rows = [line for line in table.splitlines() if line.startswith("| fc1 ")]
    assert len(rows) == 1
    assert rows[0].endswith("| float |")
    assert table.index("| fc1 ") < table.index("| stem "), "worst first"


def test_a_generous_limit_leaves_nothing_out(
    model: onnx.ModelProto, frames: np.ndarray, threshold: float
) -> None:
    made = quantize(model, frames, Int8Settings(form="trt", limit=2.0), threshold)
    assert made.report.excluded == ()
    assert made.report.every == made.report.chosen


def test_probes_keep_their_verdict(
    model: onnx.ModelProto, frames: np.ndarray, threshold: float
) -> None:
    """A threshold right beside a probe's score: the limit alone would let it turn."""
    probe = small_frames(1, seed=8)
    loose = Int8Settings(form="trt", limit=2.0)
    plain = quantize(model, frames, loose, threshold)
    before, after = (float(Runner(m).run(probe[0])["score"][0]) for m in (model, plain.model))
    between = (3 * before + after) / 4
    turned = quantize(model, frames, loose, between)
    assert turned.report.excluded == ()
    kept = quantize(model, frames, loose, between, probes=probe)
    assert kept.report.excluded
    assert kept.report.every.probe_flips == 1
    assert kept.report.chosen.probe_flips == 0


def test_probes_pass_the_parity_gate(
    model: onnx.ModelProto, frames: np.ndarray, threshold: float
) -> None:
    """No verdict turns and no limit is passed, but the probes' maps have another shape."""
    loose = Int8Settings(form="trt", limit=2.0)
    made = quantize(model, frames, loose, threshold, probes=small_frames(2, seed=8))
    assert made.report.every.probe_flips == 0
    assert re.search(r"correlation -?0\.\d+", made.report.every.refusal)
    assert made.report.excluded == (HURTING,)
    assert made.report.chosen.refusal == ""


def test_a_limit_that_cannot_be_kept_is_said_in_one_line(
    model: onnx.ModelProto, frames: np.ndarray, threshold: float
) -> None:
    with pytest.raises(PrecisionError, match=r"4 of 7 layers left in float .*limit 1e-09") as it:
        quantize(model, frames, Int8Settings(form="trt", limit=1e-9), threshold)
    assert "\n" not in str(it.value)
