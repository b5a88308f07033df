"""Rewrites that only the CPU's file gets: exact, or exact up to the rounding of FP32."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from edge.toolchain.quantization.first_convolution import widen_stem
from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.input_pixels import pixel_quantization
from edge.toolchain.quantization.input_transpose import transpose_bytes
from edge.toolchain.quantization.qdq import insert_qdq
from edge.toolchain.quantization.quantize import Calibration, calibrate
from edge.toolchain.quantization.settings import Int8Settings
from edge.toolchain.quantization.upsampling import interpolation, upsample_by_matmul
from tests.support.precision_graphs import small_frames, small_network


def exact(model: onnx.ModelProto, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Run the graph as written, every operator by itself."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, {"frame": frame[None]})))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(small_network(), small_frames(), Int8Settings(form="cpu"))


def test_pixels_are_their_own_codes() -> None:
    graph = Graph(small_network())
    transpose_bytes(graph)
    found = pixel_quantization(graph, "image")
    assert found is not None
    assert (found.parameters.zero_point, float(found.parameters.scale)) == (127, 1 / 128)
    graph = Graph(small_network(mean=123.675))
    transpose_bytes(graph)
    assert pixel_quantization(graph, "image") is None, "no whole number stands for that mean"


def test_the_wide_stem_is_the_same_convolution(calibration: Calibration) -> None:
    graph = Graph(calibration.model)
    insert_qdq(graph, calibration.layers, calibration.activations, calibration.weights, "cpu")
    narrow = onnx.ModelProto()
    narrow.CopyFrom(graph.checked())
    widen_stem(graph)
    wide = graph.checked()
    kernels = {
        tuple(Graph(model).constant(Graph(model).producer(node.input[1]).input[0]).shape)
        for model in (narrow, wide)
        for node in model.graph.node
        if node.name == "node_stem"
    }
    assert kernels == {(32, 3, 3, 3), (64, 12, 3, 2)}
    for frame in (*small_frames(2, seed=3), np.full((64, 64, 3), 255, np.uint8)):
        assert np.array_equal(exact(narrow, frame)["map"], exact(wide, frame)["map"])


@pytest.mark.parametrize(("coarse", "fine"), [(8, 16), (5, 15), (6, 9)])
def test_interpolation_is_that_of_the_model(coarse: int, fine: int) -> None:
    line = torch.randn(1, 1, coarse, dtype=torch.float64)
    expected = F.interpolate(line, size=fine, mode="linear", align_corners=False)[0, 0]
    assert np.allclose(interpolation(coarse, fine) @ line[0, 0].numpy(), expected.numpy())


def upsampling(**resize) -> onnx.ModelProto:
    """Frame (1, 4, 6, 3) as 3 channels -> upsampled 2x -> tokens (1, 96, 3), divided by 0.7."""
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", **resize}
    nodes = [
        helper.make_node("Cast", ["frame"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["level"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Resize", ["planes", "", "", "sides"], ["large"], **attributes),
        helper.make_node("Reshape", ["large", "rows"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Div", ["turned", "rms"], ["tokens"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 3, 8, 12], np.int64), "sides"),
        numpy_helper.from_array(np.array([1, 3, 96], np.int64), "rows"),
        numpy_helper.from_array(np.float32(0.7), "rms"),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, (1, 4, 6, 3))
    tokens = helper.make_tensor_value_info("tokens", TensorProto.FLOAT, (1, 96, 3))
    graph = helper.make_graph(nodes, "upsampling", [frame], [tokens], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_product_upsamples_as_resize_does() -> None:
    model = upsampling()
    graph = Graph(model)
    upsample_by_matmul(graph)
    product = graph.checked()
    assert {"Resize", "Div"}.isdisjoint(node.op_type for node in product.graph.node)
    frame = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    expected, found = exact(model, frame)["tokens"], exact(product, frame)["tokens"]
    assert np.allclose(expected, found, rtol=1e-5)


@pytest.mark.parametrize(
    "other", [{"mode": "nearest"}, {"coordinate_transformation_mode": "align_corners"}]
)
def test_another_resize_is_left_alone(other: dict[str, str]) -> None:
    graph = Graph(upsampling(**other))
    upsample_by_matmul(graph)
    assert "Resize" in {node.op_type for node in graph.nodes}


def test_sums_of_the_largest_codes_do_not_overflow() -> None:
    """White pixels under the largest weights: beyond 16 bits, where a CPU without VNNI adds."""
    expected = 255 * 127 * 27
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "weight": np.full((8, 3, 3, 3), 127, np.int8),
        "ones": np.ones(8, np.float32),
        "zeros": np.zeros(8, np.int8),
        "step": np.float32(expected / 200),
    }
    nodes = [
        helper.make_node("Transpose", ["frame"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("DequantizeLinear", ["turned", "one", "zero"], ["image"]),
        helper.make_node("DequantizeLinear", ["weight", "ones", "zeros"], ["kernel"], axis=0),
        helper.make_node("Conv", ["image", "kernel"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "step", "zero"], ["code"]),
        helper.make_node("DequantizeLinear", ["code", "step", "zero"], ["map"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 8, 6, 6])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = Runner(model).run(np.full((8, 8, 3), 255, np.uint8))["map"]
    assert np.allclose(found, expected, rtol=0.01)
