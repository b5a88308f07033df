"""The graph of a fast form is quantized, for both kinds of runtimes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge.networks.backbones.settings import PyramidSettings
from edge.networks.features import PyramidFeatures, build_features
from edge.toolchain.fast_form.network import FastDetector, FastSettings
from edge.toolchain.packing.export import export_detector
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Form, Int8Settings

SIDE = 64


@pytest.fixture(scope="module")
def network() -> FastDetector:
    torch.manual_seed(0)
    backbone = PyramidSettings(name="efficientnet_lite0", taps=(2, 4, 5, 6), stride=16)
    features = build_features(backbone, (SIDE, SIDE)).eval()
    assert isinstance(features, PyramidFeatures)
    settings = FastSettings(
        size_wh=(SIDE, SIDE), grid_hw=(4, 4), map_hw=(32, 32), channels=features.channels[:2],
        factors=(2, 1), top_ratio=0.01, image_dims=8,
    )  # fmt: skip
    return FastDetector(settings, features).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def graph(network: FastDetector, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("graphs") / "fast.onnx"
    export_detector(network, path)
    return onnx.load(str(path))


@pytest.mark.parametrize("form", ["cpu", "trt"])
def test_all_but_the_last_convolution_are_quantized(graph: onnx.ModelProto, form: Form) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3)).astype(np.uint8)
    calibration = calibrate(graph, frames[:4], Int8Settings(form=form))
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    left = [name for name in convolutions if name not in {x.node for x in calibration.layers}]
    assert left == convolutions[-1:], "the last one, two channels wide, gains nothing"
    quantized = quantized_graph(calibration, calibration.layers)
    maps = [
        np.stack([outputs(model, frame)[0] for frame in frames]) for model in (graph, quantized)
    ]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.9


def test_the_exported_graph_says_what_the_network_says(
    network: FastDetector, graph: onnx.ModelProto
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    expected = network(torch.from_numpy(frame[None]))
    found_map, score = outputs(graph, frame)
    np.testing.assert_allclose(found_map, expected.map.numpy(), atol=1e-4)
    np.testing.assert_allclose(score, expected.score.numpy(), rtol=1e-3)


def outputs(model: onnx.ModelProto, frame: np.ndarray) -> list[np.ndarray]:
    """Map and score of one frame."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["map", "score"], {"frame": frame[None]})
