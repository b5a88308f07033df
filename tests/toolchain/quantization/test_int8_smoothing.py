"""edge-build --int8 smooths a vision transformer before it quantizes it, and leaves FP32 alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edge.bundle.store import Bundle
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.methods.inp_former.detector import Detector
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_model, read_record
from edge.networks.weights import PACKAGE
from edge.toolchain.packing.int8_graphs import ORIGIN
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.toolchain.quantization.calibration_set import freeze_calibration_set, read_calibration_set
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.int8 import quantize
from edge.toolchain.quantization.output_differences import output_difference
from edge.toolchain.quantization.settings import Int8Settings
from edge.toolchain.quantization.smoothing import has_blocks
from tests.support.int8 import check
from tests.support.tiny_runs import SIZE_WH, WIDTH, clip, dinov2, write_run

OUTLIERS = 4
BLOCK_NORM = r"\.backbone\.blocks\.\d+\.norm"


@torch.no_grad()
def spoil(detector: Detector | MultiAdsDetector) -> None:
    """Plant outlier channels in front of qkv and fc1; the function stays the same."""
    for block in detector.features.backbone.blocks:
        qkv, fc1 = (getattr(block, "attn", block).qkv, getattr(block, "mlp", block).fc1)
        for norm, linear in ((block.norm1, qkv), (block.norm2, fc1)):
            nn.init.normal_(linear.weight, std=0.15)
            chosen = torch.randperm(WIDTH)[:OUTLIERS]
            norm.weight[chosen] *= 40
            linear.weight[:, chosen] /= 40


def gains(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Gain of every LayerNorm of the backbone's blocks, by its name in the trained model."""
    values = {entry.name: entry for entry in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    names = [node.input[1] for node in nodes if re.search(BLOCK_NORM, node.input[1])]
    return {name: numpy_helper.to_array(values[name]) for name in names}


def reach(gain: np.ndarray) -> float:
    """How far the channels of a norm lie apart."""
    return float(np.abs(gain).max() / np.median(np.abs(gain)))


@pytest.fixture(scope="module", params=[dinov2, clip], ids=["dinov2", "clip"])
def packed(
    request: pytest.FixtureRequest, plates: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Bundle, np.ndarray]:
    """A run, its bundle with INT8, and network inputs that nothing was calibrated on."""
    folder = tmp_path_factory.mktemp("smooth")
    torch.manual_seed(0)
    detector = request.param().eval().requires_grad_(False)
    if isinstance(detector, MultiAdsDetector):
        detector.bank.copy_(nn.functional.normalize(torch.randn_like(detector.bank), dim=-1))
    spoil(detector)
    write_run(folder / "run", detector, plates)
    good = read_image_set(plates).train
    pictures = ((read_pixels(sample.path), sample.path.name) for sample in good[20:28])
    # At a lower threshold the small DINOv2 rejects nothing.
    alpha = 0.5 if request.param is dinov2 else None
    frozen = freeze_calibration_set(folder / "set", pictures, "plates")
    options = PackOptions(alpha=alpha, int8=frozen)
    bundle = pack_bundle(folder / "run", folder / "bundle", options, lambda _: None)
    shape = InputShape(SIZE_WH)
    inputs = [network_inputs(read_pixels(sample.path), shape) for sample in good[28:36]]
    return folder / "run", bundle, np.concatenate(inputs)


def graph(bundle: Bundle, precision: str, form: str = "any") -> onnx.ModelProto:
    found = next(g for g in bundle.manifest.graphs if g.precision == precision and g.form == form)
    return onnx.load(str(bundle.path(found.file)))


def test_both_int8_forms_are_of_the_smoothed_network(packed) -> None:
    run, bundle, _ = packed
    state = read_model(run, read_record(run)).state_dict()
    plain = gains(graph(bundle, "fp32"))
    assert len(plain) == 2 * 2
    for name, gain in plain.items():
        assert np.array_equal(gain, state[name].numpy())
        assert reach(gain) > 20
    for form in ("cpu", "trt"):
        quantized = graph(bundle, "int8", form)
        smooth = gains(quantized)
        assert smooth.keys() == plain.keys()
        assert max(reach(gain) for gain in smooth.values()) < 10
        named = {entry.key: entry.value for entry in quantized.metadata_props}
        assert named["weights_sha256"]
    assert json.loads(bundle.path(ORIGIN).read_text())["is_smoothed"] == {"detect": True}


def test_the_smoothed_graphs_judge_as_the_run(packed) -> None:
    run, bundle, _ = packed
    check(bundle, run)


@pytest.mark.parametrize("form", ["cpu", "trt"])
def test_the_map_is_nearer_to_fp32_than_without(packed, form: str) -> None:
    _, bundle, unseen = packed
    threshold = bundle.thresholds.score.value
    fp32 = graph(bundle, "fp32")
    settings = Int8Settings.model_validate({"form": form, "limit": 1e3})
    calibration = read_calibration_set(bundle.folder.parent / "set").frames(InputShape(SIZE_WH))
    plain = quantize(fp32, calibration, settings, threshold).model
    reference = list(Runner(fp32).each(unseen))
    errors = [
        output_difference(reference, list(Runner(model).each(unseen)), threshold).error
        for model in (graph(bundle, "int8", form), plain)
    ]
    assert errors[0] < 0.3 * errors[1]


def test_lite_has_nothing_to_smooth() -> None:
    assert has_blocks(dinov2())
    assert not has_blocks(Detector(model_settings(find_preset("lite"), (128, 96), PACKAGE)))
