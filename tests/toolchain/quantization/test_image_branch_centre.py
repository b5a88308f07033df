"""The image branch of an INT8 graph is centred on that graph's own mean features."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.image_branch_centre import CENTRE, CentreCorrection
from edge.toolchain.quantization.int8 import quantize
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings
from tests.support.precision_graphs import SIZE, Writer, small_frames, small_network

SETTINGS = Int8Settings(form="cpu", limit=2.0)


def with_image_branch(scale: float) -> onnx.ModelProto:
    """Features pooled, compared with a centre, in units of `scale`: the score; a map beside it."""
    w = Writer(seed=3)
    w.constant("zero", np.float32(0))
    w.constant("six", np.float32(6))
    level = w.node("Cast", ["frame"], "level", to=TensorProto.FLOAT)
    planes = w.node("Transpose", [level], "planes", perm=[0, 3, 1, 2])
    image = w.node("Div", [planes, w.constant("range", np.float32(255))], "image")
    x = w.relu6(w.conv(image, "stem", (32, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]))
    x = w.conv(x, "project", (24, 32, 1, 1))
    axes = w.constant("axes", np.array([2, 3], np.int64))
    pooled = w.node("ReduceMean", [x, axes], "pooled", keepdims=0)
    apart = w.node("Sub", [pooled, w.constant(CENTRE, np.zeros(24, np.float32))], "apart")
    unit = w.node("Div", [apart, w.constant("image.scale", np.float32(scale))], "unit")
    squared = w.node("Mul", [unit, unit], "squared")
    one = w.constant("one", np.array([1], np.int64))
    w.node("Sqrt", [w.node("ReduceSum", [squared, one], "sum", keepdims=0)], "score")
    w.node("ReduceMean", [x, one], "map", keepdims=0)
    model = w.model({"map": (1, SIZE // 2, SIZE // 2), "score": (1,)})
    # The centre of good frames, as training would have it.
    mean = np.mean([values["pooled"][0] for values in pooled_of(model, small_frames(40, 7))], 0)
    for entry in model.graph.initializer:
        if entry.name == CENTRE:
            entry.CopyFrom(numpy_helper.from_array(mean.astype(np.float32), CENTRE))
    return model


def pooled_of(model: onnx.ModelProto, frames: np.ndarray) -> list[dict[str, np.ndarray]]:
    return list(Runner(model, ["pooled"]).each(frames))


def centre_of(model: onnx.ModelProto) -> np.ndarray:
    return next(numpy_helper.to_array(e) for e in model.graph.initializer if e.name == CENTRE)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return with_image_branch(scale=0.01)


def shifted(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as if quantization had moved every channel by a little of its own."""
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    for entry in moved.graph.initializer:
        if entry.name == "project.bias":
            bias = numpy_helper.to_array(entry) + np.linspace(0.01, 0.05, 24, dtype=np.float32)
            entry.CopyFrom(numpy_helper.from_array(bias, entry.name))
    return moved


def scores_of(model: onnx.ModelProto, frames: np.ndarray) -> list[float]:
    return [float(values["score"][0]) for values in Runner(model).each(frames)]


def test_what_moves_every_frame_alike_is_taken_off(model: onnx.ModelProto) -> None:
    quantized, unseen = shifted(model), small_frames(6, seed=8)
    assert scores_of(quantized, unseen) != pytest.approx(scores_of(model, unseen), rel=0.1)
    moved = CentreCorrection(model, small_frames(4)).apply(quantized)
    assert scores_of(moved, unseen) == pytest.approx(scores_of(model, unseen), rel=1e-3)
    assert np.array_equal(centre_of(quantized), centre_of(model)), "what was given stays"


def test_a_quantized_graph_has_its_own_centre(model: onnx.ModelProto) -> None:
    frames, fresh = small_frames(6), small_frames(4, seed=5)
    made = quantize(model, frames, SETTINGS, threshold=10.0, fresh=fresh)
    calibration = calibrate(model, frames, SETTINGS)
    plain = quantized_graph(calibration, calibration.layers)
    expected = CentreCorrection(model, np.concatenate([frames, fresh])).apply(plain)
    assert np.allclose(centre_of(made.model), centre_of(expected), atol=1e-6)
    assert not np.array_equal(centre_of(made.model), centre_of(model))


def test_a_graph_without_the_branch_stays_as_it_is() -> None:
    plain = small_network()
    assert CentreCorrection(plain, small_frames(2)).apply(plain) is plain
