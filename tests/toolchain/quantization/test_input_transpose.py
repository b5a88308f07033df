"""On a CPU the frame's bytes are transposed, not its floats; nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge.engines.onnx.engine import session_options
from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.input_transpose import transpose_bytes
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings

SHAPES = {"image": [1, 16, 62, 46], "level": []}


def first_steps(*extra: onnx.NodeProto, outputs: tuple[str, ...] = ("image",)) -> onnx.ModelProto:
    """How every detector begins: float, turned, shifted and scaled, a convolution."""
    weight = np.random.default_rng(0).normal(size=(16, 3, 3, 3)).astype(np.float32)
    constants = {"mean": np.float32(127), "std": np.float32(64), "weight": weight}
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["turned", "mean"], ["shifted"], "shift"),
        helper.make_node("Div", ["shifted", "std"], ["scaled"], "scale"),
        helper.make_node("Conv", ["scaled", "weight"], ["image"], "conv"),
        *extra,
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 64, 48, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPES[name]) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, frame: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1, "int8"), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"frame": frame})


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, 64, 48, 3), np.uint8)


def test_bytes_are_turned_and_the_result_is_the_same_to_the_bit(frame: np.ndarray) -> None:
    graph = Graph(first_steps())
    transpose_bytes(graph)
    assert [node.op_type for node in graph.nodes][:3] == ["Transpose", "Cast", "Sub"]
    assert graph.nodes[0].input[0] == "frame"
    (expected,), (found,) = run(first_steps(), frame), run(graph.checked(), frame)
    assert np.array_equal(found, expected)


def test_floats_that_someone_else_reads_stay_as_they_are() -> None:
    mean = helper.make_node("ReduceMean", ["float"], ["level"], "level", keepdims=0)
    graph = Graph(first_steps(mean, outputs=("image", "level")))
    transpose_bytes(graph)
    assert [node.op_type for node in graph.nodes][:2] == ["Cast", "Transpose"]


@pytest.mark.parametrize(("form", "reads_bytes"), [("cpu", True), ("trt", False)])
def test_only_the_cpu_form_reads_bytes(frame: np.ndarray, form: str, reads_bytes: bool) -> None:
    calibration = calibrate(first_steps(), frame, Int8Settings(form=form))
    assert calibration.layers
    model = quantized_graph(calibration, calibration.layers)
    types = {node.output[0]: node.op_type for node in model.graph.node}
    decoders = [n for n in model.graph.node if n.op_type == "DequantizeLinear"]
    assert any(types.get(n.input[0]) == "Transpose" for n in decoders) == reads_bytes
    (expected,), (found,) = run(first_steps(), frame), run(model, frame)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999
