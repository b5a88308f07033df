"""Outlier smoothing: the same function in FP32, less lost in INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edge.errors import PrecisionError
from edge.networks.backbones.clip import ClipShape, ClipVision
from edge.networks.backbones.dinov2 import DinoV2, VitShape
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.output_differences import output_difference
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings
from edge.toolchain.quantization.smoothing import smoothed
from tests.support.precision_graphs import small_frames

WIDTH = 64


class Judge(nn.Module):
    """Frame -> map and score straight from a backbone's tokens."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def tokens(self, frames: Tensor) -> Tensor:
        found = self.backbone(frames.float().permute(0, 3, 1, 2) / 64 - 2)
        return torch.cat(getattr(found, "levels", found), -1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        level = self.tokens(frames).square().mean(-1).sqrt()
        return level.reshape(-1, 8, 8), level.amax(-1)


def dinov2() -> nn.Module:
    torch.manual_seed(0)
    shape = VitShape(width=WIDTH, depth=3, heads=4, patch=8, registers=2, position_grid=8)
    network = DinoV2(shape, (0, 1, 2), (8, 8))
    _spoil([(b.norm1, b.attn.qkv) for b in network.blocks])
    _spoil([(b.norm2, b.mlp.fc1) for b in network.blocks])
    return network


def clip() -> nn.Module:
    torch.manual_seed(0)
    network = ClipVision(ClipShape(WIDTH, 3, 4, 8, 32, 8), (0, 1, 2), (8, 8))
    _spoil([(b.norm1, b.qkv) for b in network.blocks])
    _spoil([(b.norm2, b.fc1) for b in network.blocks])
    return network


@torch.no_grad()
def _spoil(pairs: list[tuple[nn.LayerNorm, nn.Linear]]) -> None:
    """Make four channels outliers, as trained transformers have them; the function is the same."""
    for norm, linear in pairs:
        nn.init.normal_(linear.weight, std=0.15)
        chosen = torch.randperm(WIDTH)[:4]
        nn.init.normal_(norm.bias, std=0.1)
        norm.weight[chosen] *= 40
        linear.weight[:, chosen] /= 40


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return small_frames(6)


def batches(frames: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(frame[None]) for frame in frames]


@pytest.mark.parametrize("make", [dinov2, clip])
@torch.no_grad()
def test_it_is_exact_in_fp32(make, frames: np.ndarray) -> None:
    judge = Judge(make()).eval()
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    smooth = smoothed(judge, batches(frames[:4]))
    for frame in batches(frames[4:]):
        expected, found = judge.tokens(frame), smooth.tokens(frame)
        assert torch.allclose(expected, found, atol=1e-4 * float(expected.abs().max()))
    changed = [
        name for name, value in smooth.state_dict().items() if not torch.equal(value, before[name])
    ]
    # Gains and offsets of two norms, weights of qkv, proj and fc1, and the offset of the values.
    assert len(changed) == 3 * 8
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())


def export(judge: nn.Module, path: Path) -> onnx.ModelProto:
    frame = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    torch.onnx.export(
        judge, (frame,), str(path), dynamo=True, opset_version=20, external_data=False,
        input_names=["frame"], output_names=["map", "score"], verbose=False,
    )  # fmt: skip
    return onnx.load(str(path))


@pytest.mark.filterwarnings("ignore")
def test_it_loses_less_in_int8(frames: np.ndarray, tmp_path: Path) -> None:
    judge = Judge(dinov2()).eval()
    errors = {}
    reference = None
    for name, network in (("plain", judge), ("smooth", smoothed(judge, batches(frames[:4])))):
        model = export(network, tmp_path / f"{name}.onnx")
        if reference is None:
            reference = list(Runner(model).each(frames[4:]))
        calibration = calibrate(model, frames[:4], Int8Settings(form="trt"))
        quantized = quantized_graph(calibration, calibration.layers)
        errors[name] = output_difference(
            reference, list(Runner(quantized).each(frames[4:])), 1.0
        ).error
    assert errors["smooth"] < 0.5 * errors["plain"]


def test_a_network_without_such_blocks_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(PrecisionError, match="expected blocks of DINOv2 or CLIP, found none"):
        smoothed(nn.Linear(3, 3), batches(frames))
    with pytest.raises(PrecisionError, match=r"expected frames .*, found none"):
        smoothed(Judge(dinov2()), [])
