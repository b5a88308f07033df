"""The parity gate against engines that were broken on purpose, with the demo's bundle."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge.bundle.store import Bundle, open_bundle
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import ParityError
from edge.inspection.preprocess import to_network
from edge.toolchain.engine_build.device_parity import check_parity, reference_outcomes
from edge.toolchain.parity import Outcome
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings

BUNDLE = Path(__file__).resolve().parents[3] / "demo" / "bundle"


@cache
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


@cache
def reference() -> list[Outcome]:
    return reference_outcomes(bundle())


@cache
def int8_graph() -> bytes:
    """The demo's graph in 8 bits, all layers, calibrated on its own good golden pictures."""
    width, height = bundle().recipe.size_wh
    good = [image for image in bundle().golden().images if image.label == "good"]
    frames = np.zeros((len(good), height, width, 3), np.uint8)
    for frame, image in zip(frames, good, strict=True):
        to_network(bundle().golden_pixels(image), (width, height), frame)
    found = calibrate(fp32(), frames, Int8Settings(form="cpu"))
    return quantized_graph(found, found.layers).SerializeToString()


def fp32() -> onnx.ModelProto:
    return onnx.load(str(bundle().path(bundle().graph.file)))


def judge(model: onnx.ModelProto, folder: Path, precision: str = "fp32"):
    path = folder / "engine.onnx"
    onnx.save(model, str(path))
    graph = bundle().graph.model_copy(update={"precision": precision})
    with OnnxEngine(path, graph) as engine:
        return check_parity(bundle(), engine, None, reference())


def convolutions(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Weights of the convolutions in the order of the graph."""
    by_name = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [n.input[1] for n in model.graph.node if n.op_type == "Conv" and n.input[1] in by_name]
    return [by_name[name] for name in names]


def change(tensor: onnx.TensorProto, how: Callable[[np.ndarray], np.ndarray]) -> None:
    values = how(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def test_what_is_whole_passes(tmp_path: Path) -> None:
    assert judge(fp32(), tmp_path).passed
    assert judge(onnx.load_from_string(int8_graph()), tmp_path, "int8").passed


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    ("layer", "how"),
    [
        pytest.param(1, lambda w: w[::-1], id="swapped channels"),
        pytest.param(0, lambda w: w * 1.5, id="scaled weights"),
        pytest.param(2, lambda w: w * 0, id="one layer's weights zeroed"),
    ],
)
def test_a_broken_layer_is_caught(tmp_path: Path, layer: int, how, precision: str) -> None:
    model = fp32()
    change(convolutions(model)[layer], how)
    with pytest.raises(ParityError, match="does not decide as the reference"):
        judge(model, tmp_path, precision)


@pytest.mark.parametrize("seed", range(3))
def test_random_scales_are_caught(tmp_path: Path, seed: int) -> None:
    model = onnx.load_from_string(int8_graph())
    rng = np.random.default_rng(seed)
    scales = {n.input[1] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    found = [tensor for tensor in model.graph.initializer if tensor.name in scales]
    assert len(found) > 20
    for tensor in found:
        change(tensor, lambda scale: scale * np.exp(rng.uniform(-1.5, 1.5, scale.shape)))
    with pytest.raises(ParityError, match="does not decide as the reference"):
        judge(model, tmp_path, "int8")


def test_not_finite_outputs_are_caught(tmp_path: Path) -> None:
    model = fp32()
    change(convolutions(model)[0], lambda w: w * np.nan)
    with pytest.raises(ParityError, match="not finite"):
        judge(model, tmp_path)
