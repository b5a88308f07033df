"""Half precision: same decisions, FP32 where it matters, the same inputs and outputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bundle.store import Bundle, open_bundle
from edge.engines.protocol import EngineInfo
from edge.errors import PrecisionError
from edge.inspection.preprocess import to_network
from edge.toolchain.parity import Outcome, compare
from edge.toolchain.quantization.fp16 import to_fp16
from edge.toolchain.quantization.graph import element_types
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings
from tests.support.bundles import DEMO_BUNDLE
from tests.support.precision_graphs import small_frames, small_network


def run(model: onnx.ModelProto, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor rounded as the graph says: optimised, ONNX Runtime would skip some roundings."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, {"frame": frame[None]})))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(bundle.path(bundle.graph.file)))


@pytest.fixture(scope="module")
def half(model: onnx.ModelProto) -> onnx.ModelProto:
    return to_fp16(model)


def test_it_decides_as_fp32_within_the_tolerances(bundle: Bundle, model, half) -> None:
    sides: list[list[Outcome]] = [[], []]
    width, height = bundle.recipe.size_wh
    for image in bundle.golden().images:
        frame = np.zeros((height, width, 3), np.uint8)
        to_network(bundle.golden_pixels(image), bundle.recipe.size_wh, frame)
        for side, graph in zip(sides, (model, half)):
            found = run(graph, frame)
            assert all(value.dtype == np.float32 for value in found.values())
            logits = found["type_logits"][0] if "type_logits" in found else None
            side.append(Outcome(found["map"][0], float(found["score"][0]), logits))
    info = EngineInfo("onnxruntime", ort.__version__, "fp16", "CPU", 1)
    record = compare(*sides, bundle.thresholds.score.value, info, "fp32")
    assert record.passed, record
    assert record.score_difference > 0, "nothing was rounded"
    for expected, found in zip(*sides):
        a, b = expected.map.ravel(), found.map.ravel()
        assert a @ b / np.sqrt((a @ a) * (b @ b)) >= 0.9999


def test_weights_are_half_and_norms_are_not(half: onnx.ModelProto) -> None:
    types = element_types(half)
    by_op: dict[str, set[int]] = {}
    for node in half.graph.node:
        by_op.setdefault(node.op_type, set()).add(types[node.input[0]])
    assert by_op["LayerNormalization"] == by_op["Softmax"] == by_op["TopK"] == {TensorProto.FLOAT}
    assert by_op["Sqrt"] == by_op["Reciprocal"] == by_op["ReduceSum"] == {TensorProto.FLOAT}
    convolutions = [types[node.input[1]] for node in half.graph.node if node.op_type == "Conv"]
    assert convolutions == [TensorProto.FLOAT16] * 48
    smoothing = next(node for node in half.graph.node if "map" in node.output)
    assert smoothing.op_type == "MatMul"
    assert {types[name] for name in smoothing.input} == {TensorProto.FLOAT}
    assert by_op["Gelu"] == {TensorProto.FLOAT16}


def test_inputs_and_outputs_are_those_of_the_fp32_graph(model, half) -> None:
    assert list(half.graph.input) == list(model.graph.input)
    assert list(half.graph.output) == list(model.graph.output)


def test_no_tensor_is_cast_twice(half: onnx.ModelProto) -> None:
    casts = [
        (node.input[0], helper.get_attribute_value(node.attribute[0]))
        for node in half.graph.node
        if node.op_type == "Cast"
    ]
    assert len(casts) == len(set(casts)) > 10


def chain(constant: float, *, also_output: bool = False) -> onnx.ModelProto:
    """Frame -> floats -> Gelu -> times constant -> Gelu."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["level", "weight"], ["product"], name="product"),
        helper.make_node("Gelu", ["product"], ["inner"], name="inner"),
        helper.make_node("Mul", ["inner", "factor"], ["scaled"], name="scaled"),
        helper.make_node("Gelu", ["scaled"], ["map"], name="outer"),
    ]
    constants = [
        numpy_helper.from_array(np.eye(3, dtype=np.float32) / 255, "weight"),
        numpy_helper.from_array(np.float32(constant), "factor"),
    ]
    shape = (1, 4, 4, 3)
    outputs = [helper.make_tensor_value_info("map", TensorProto.FLOAT, shape)]
    if also_output:
        outputs.append(helper.make_tensor_value_info("inner", TensorProto.FLOAT, shape))
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)
    graph = helper.make_graph(nodes, "chain", [frame], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("constant", [1e6, 1e-9])
def test_constants_outside_halfs_range_keep_their_node_in_fp32(constant: float) -> None:
    model = chain(constant)
    frame = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
    expected, found = (run(graph, frame)["map"] for graph in (model, to_fp16(model)))
    if constant > 1:
        # The product itself leaves half's range: only its own node is FP32.
        types = element_types(to_fp16(model))
        assert types["factor"] == TensorProto.FLOAT
        return
    assert expected.max() > 0
    assert np.allclose(found, expected, rtol=2e-3)


def test_a_tensor_may_be_output_and_go_on(tmp_path) -> None:
    model = chain(0.5, also_output=True)
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    frame = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
    expected, found = run(model, frame), run(half, frame)
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    for name, value in expected.items():
        assert np.allclose(found[name], value, atol=2e-3)


def test_a_quantized_file_becomes_int8_with_half_around_it() -> None:
    calibration = calibrate(small_network(), small_frames(), Int8Settings(form="trt"))
    quantized = quantized_graph(calibration, calibration.layers)
    mixed = to_fp16(quantized)
    types = element_types(mixed)
    scales = [node for node in mixed.graph.node if node.op_type == "DequantizeLinear"]
    assert {types[node.output[0]] for node in scales} == {TensorProto.FLOAT16}
    assert {types[node.input[0]] for node in scales} == {TensorProto.INT8}
    frame = small_frames(1, seed=5)[0]
    expected, found = (run(graph, frame)["map"] for graph in (quantized, mixed))
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999


def test_scales_that_would_vanish_are_refused() -> None:
    model = small_network()
    weight = next(entry for entry in model.graph.initializer if entry.name == "expand.weight")
    value = numpy_helper.to_array(weight).copy()
    value[3] *= 1e-6
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    frames = small_frames()
    made = {form: calibrate(model, frames, Int8Settings(form=form)) for form in ("cpu", "trt")}
    to_fp16(quantized_graph(made["trt"], made["trt"].layers))
    with pytest.raises(PrecisionError, match=r"scales of at least 6.1e-05.*form trt") as it:
        to_fp16(quantized_graph(made["cpu"], made["cpu"].layers))
    assert "\n" not in str(it.value)
