"""INT8: what each runtime takes, what stays float, and that the arithmetic is what it says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from edge.bundle.store import Bundle, open_bundle
from edge.engines.onnx.engine import OnnxEngine, session_options
from edge.errors import PrecisionError
from edge.inspection.preprocess import to_network
from edge.toolchain.quantization.activation_ranges import activation_ranges
from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.layers import weighted_layers
from edge.toolchain.quantization.parameters import LEAST_HALF_SCALE, round_to_nearest, weight_scales
from edge.toolchain.quantization.qdq import make_plan
from edge.toolchain.quantization.quantize import Calibration, calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings
from edge.toolchain.quantization.weight_rounding import Moments, mean_error, round_weight
from tests.support.bundles import DEMO_BUNDLE
from tests.support.precision_graphs import small_frames, small_network

CPU, TRT = Int8Settings(form="cpu"), Int8Settings(form="trt")


def exact(model: onnx.ModelProto, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Run the graph as written, every operator by itself."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, {"frame": frame[None]})))


def optimised(model: onnx.ModelProto, folder: Path, precision: str = "int8") -> onnx.ModelProto:
    """What ONNX Runtime really runs, with the line's own options."""
    options = session_options(1, precision)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture(scope="module")
def demo(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(bundle.path(bundle.graph.file)))


@pytest.fixture(scope="module")
def golden(bundle: Bundle) -> np.ndarray:
    width, height = bundle.recipe.size_wh
    frames = np.zeros((len(bundle.golden().images), height, width, 3), np.uint8)
    for frame, image in zip(frames, bundle.golden().images):
        to_network(bundle.golden_pixels(image), bundle.recipe.size_wh, frame)
    return frames


@pytest.fixture(scope="module")
def lite(demo: onnx.ModelProto, golden: np.ndarray) -> Calibration:
    """The demo's real network; its three good golden pictures are all there is to calibrate on."""
    return calibrate(demo, golden[:3], CPU)


@pytest.fixture(scope="module")
def small() -> dict[str, Calibration]:
    model, frames = small_network(), small_frames()
    return {
        name: calibrate(model, frames, settings) for name, settings in (("cpu", CPU), ("trt", TRT))
    }


def test_the_real_network_computes_every_layer_in_8_bits(lite: Calibration, tmp_path: Path) -> None:
    running = optimised(quantized_graph(lite, lite.layers), tmp_path)
    counts = Counter(node.op_type for node in running.graph.node)
    assert counts["QLinearConv"] == 48
    assert counts["Conv"] == 0
    assert counts["QLinearAdd"] == 9
    products = sum(layer.op == "MatMul" for layer in lite.layers)
    assert counts["MatMulIntegerToFloat"] == products > 20
    constants = initializers(running)
    for node in running.graph.node:
        if node.op_type == "DequantizeLinear":
            assert node.input[0] not in constants, (
                f"{node.name}: a weight is dequantized for each frame"
            )


def test_without_the_option_weights_would_be_decoded_for_each_frame(
    lite: Calibration, tmp_path: Path
) -> None:
    running = optimised(quantized_graph(lite, lite.layers), tmp_path, precision="fp32")
    assert Counter(node.op_type for node in running.graph.node)["MatMulIntegerToFloat"] < 5


def test_the_real_network_still_decides_as_before(
    bundle: Bundle, demo: onnx.ModelProto, lite: Calibration, golden: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "int8.onnx"
    onnx.save(quantized_graph(lite, lite.layers), str(path))
    graph = bundle.graph.model_copy(update={"precision": "int8"})
    threshold = bundle.thresholds.score.value
    with (
        OnnxEngine(path, graph) as int8,
        OnnxEngine(bundle.path(bundle.graph.file), bundle.graph) as fp32,
    ):
        for frame in golden:
            inputs = {"frame": frame[None]}
            expected, found = fp32.run(inputs), int8.run(inputs)
            score, other = float(expected["score"][0]), float(found["score"][0])
            assert (score > threshold) == (other > threshold)
            assert abs(score - other) < 0.25 * threshold
            pair = expected["map"].ravel(), found["map"].ravel()
            assert np.corrcoef(*pair)[0, 1] > 0.95


@pytest.mark.parametrize(("settings", "largest"), [(CPU, 63), (TRT, 127)])
def test_weights_for_cpus_leave_room_for_sums_in_16_bits(
    small: dict[str, Calibration], settings: Int8Settings, largest: int
) -> None:
    """Two products of a weight and a value up to 255 are added there where VNNI is missing."""
    calibration = small[settings.form]
    constants = initializers(quantized_graph(calibration, calibration.layers))
    values = [
        np.abs(v.astype(int)).max() for v in constants.values() if v.dtype == np.int8 and v.ndim
    ]
    assert max(values) == largest


@pytest.mark.parametrize("form", ["cpu", "trt"])
def test_the_small_network_gives_the_same_map(small: dict[str, Calibration], form: str) -> None:
    calibration = small[form]
    model = quantized_graph(calibration, calibration.layers)
    assert len(calibration.layers) == 7
    for frame in small_frames(3, seed=9):
        expected, found = exact(small_network(), frame)["map"], exact(model, frame)["map"]
        assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.99
        assert not np.array_equal(expected, found)


def test_files_for_tensorrt_hold_what_its_parser_takes(small: dict[str, Calibration]) -> None:
    calibration = small["trt"]
    model = quantized_graph(calibration, calibration.layers)
    constants = initializers(model)
    graph = Graph(model)
    weights = 0
    for node in model.graph.node:
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
            continue
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert scale.min() >= LEAST_HALF_SCALE
        if node.input[0] in constants:
            weights += 1
            assert constants[node.input[0]].dtype == np.int8, "no int32 bias"
            assert scale.ndim == 1, "one scale per channel"
        if node.op_type == "DequantizeLinear":
            readers = {reader.op_type for reader in graph.readers(node.output[0])}
            assert readers <= {"Conv", "MatMul"}, "only inputs of weighted layers"
    assert weights == len(calibration.layers)
    frame = next(value for value in model.graph.input)
    assert frame.type.tensor_type.elem_type == TensorProto.UINT8
    assert TensorProto.UINT8 not in {entry.data_type for entry in model.graph.initializer}


def test_tiny_channels_get_scales_that_half_can_hold() -> None:
    model = small_network()
    weight = next(entry for entry in model.graph.initializer if entry.name == "expand.weight")
    value = numpy_helper.to_array(weight).copy()
    value[3] *= 1e-6
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    calibration = calibrate(model, small_frames(2), TRT)
    layer = next(layer for layer in calibration.layers if layer.label == "expand")
    assert calibration.weights[layer.node].scales[3] == np.float32(LEAST_HALF_SCALE)
    assert not calibration.weights[layer.node].values[3].any(), "quantized again with that scale"


@pytest.mark.parametrize("form", ["cpu", "trt"])
@pytest.mark.parametrize("label", ["deep", "expand", "fc1"])
def test_layers_left_out_stay_float(
    small: dict[str, Calibration], form: str, label: str, tmp_path: Path
) -> None:
    calibration = small[form]
    kept = [layer for layer in calibration.layers if layer.label != label]
    (left_out,) = (layer for layer in calibration.layers if layer.label == label)
    model = quantized_graph(calibration, kept)
    node = next(node for node in model.graph.node if node.name == left_out.node)
    weight = initializers(model)[node.input[1]]
    assert np.array_equal(weight, Graph(small_network()).constant(left_out.weight))
    found = {
        reader.name
        for reader in model.graph.node
        if reader.op_type in {"Conv", "MatMul"} and reader.input[1] not in initializers(model)
    }
    assert found == {layer.node for layer in kept}
    # ONNX Runtime must leave it alone too: by default it quantizes such a weight on its own.
    frame = small_frames(1, seed=4)[0]
    session = ort.InferenceSession(
        model.SerializeToString(), session_options(1, "int8"), providers=["CPUExecutionProvider"]
    )
    found = session.run(["map"], {"frame": frame[None]})[0]
    assert np.abs(found - exact(model, frame)["map"]).max() < 0.05
    assert TensorProto.INT8 not in {
        entry.data_type
        for entry in optimised(model, tmp_path).graph.initializer
        if entry.name.startswith(left_out.weight)
    }


def test_rounding_against_the_inputs_beats_nearest() -> None:
    rng = np.random.default_rng(0)
    # What a 3x3 kernel sees of a smooth picture: nine values that go up and down together.
    inputs = 2 + rng.normal(0, 1, (5000, 1)) + rng.normal(0, 0.1, (5000, 9))
    weight = rng.normal(0, 1, (64, 1, 3, 3)).astype(np.float32)
    moments = Moments(
        inputs.mean(0)[None].repeat(64, 0), np.cov(inputs.T, ddof=0)[None].repeat(64, 0)
    )
    scales = weight_scales(weight, 0, 15)
    steps = scales[:, None, None, None]
    nearest = round_to_nearest(weight, scales, 0, 15) * steps
    values = round_weight(weight, scales, moments, 15)
    assert np.abs(values).max() <= 15
    assert np.array_equal(values, np.rint(values))
    rounded = values * steps
    errors = {}
    for name, value in (("nearest", nearest), ("rounded", rounded)):
        off = inputs @ (value - weight).reshape(64, 9).T
        errors[name] = np.sqrt((off**2).mean())
        errors[f"{name}, corrected"] = np.sqrt(
            ((off - mean_error(weight, value, moments)) ** 2).mean()
        )
    assert errors["rounded, corrected"] < 0.5 * errors["nearest, corrected"]
    assert errors["nearest, corrected"] < errors["nearest"]


def test_calibrators_differ_where_there_are_outliers() -> None:
    model = small_network()
    frames = small_frames(4)
    graph = Graph(model)
    tensors = make_plan(graph, weighted_layers(graph), "trt").tensors
    widths = {}
    for calibrator in ("minmax", "entropy", "percentile"):
        ranges = activation_ranges(model, tensors, frames, calibrator, 99.0, symmetric=True)
        assert set(ranges) == set(tensors)
        widths[calibrator] = sum(max(-low, high) for low, high in ranges.values())
    assert widths["percentile"] < widths["minmax"]
    assert widths["entropy"] <= widths["minmax"] * 1.01


def test_calibration_needs_frames_and_finite_values() -> None:
    with pytest.raises(PrecisionError, match="expected calibration frames, got none"):
        calibrate(small_network(), small_frames(1)[:0], CPU)
    broken = small_network()
    bias = next(entry for entry in broken.graph.initializer if entry.name == "expand.bias")
    value = numpy_helper.to_array(bias).copy()
    value[0] = np.nan
    bias.CopyFrom(numpy_helper.from_array(value, bias.name))
    with pytest.raises(PrecisionError, match=r"tensor .*: not finite on a calibration frame"):
        calibrate(broken, small_frames(1), CPU)
