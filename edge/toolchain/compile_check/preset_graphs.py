"""The graph of every preset at its true shape, to check that it compiles.

`lite` has its real backbone. Everything else, and all that training would learn, is random, since
compilation depends on shapes and operators. Zeros would not do: builders fold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from torch import nn

from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.settings import DapoSettings, PromptSettings
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.plus import HEAD_CHANNELS
from edge.methods.inp_former.settings import MapSettings
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.presets import IMAGE_SHARE, multiads_settings
from edge.methods.presets import find_preset, model_settings
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.settings import PromptMadSettings, RefinerNet
from edge.networks.backbones.settings import PyramidSettings
from edge.networks.weights import PACKAGE, RANDOM, load_backbone
from edge.toolchain.packing.export import export_detector, export_types
from edge.toolchain.packing.types_graph import TypeNamer
from edge.toolchain.quantization.fp16 import to_fp16
from edge.toolchain.quantization.quantize import calibrate, quantized_graph
from edge.toolchain.quantization.settings import Int8Settings

TYPES = ("scratch", "dent", "stain")
# Width of the text vectors that go with each MultiADS preset: MiniLM's and the two CLIPs'.
TEXT_WIDTHS = {"lite": 384, "standard": 512, "accurate": 768}
FRAME_WH = (640, 640)
MEMORY_FRAMES = 2
PRECISIONS = ("fp32", "fp16", "int8")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class PresetGraph:
    """One graph: `make` builds its network."""

    name: str
    make: Callable[[], Detector | MultiAdsDetector | PromptMadDetector | TypeNamer]

    def export(self, path: Path) -> None:
        """Write the FP32 file."""
        network = self.make()
        if isinstance(network, TypeNamer):
            export_types(network, path)
        else:
            export_detector(network, path)


def inp_former(preset: str, **changes: Any) -> Detector:
    """INP-Former with all branches; `changes` are fields of ModelSettings."""
    found = find_preset(preset)
    weights = RANDOM if found.vit else PACKAGE
    settings = model_settings(found, (found.sides[0],) * 2, weights)
    detector = Detector(settings.model_copy(update=changes))
    load_backbone(detector.features.backbone, weights)
    return filled(detector)


def with_head(preset: str) -> Detector:
    """INP-Former++'s head beside the reconstruction."""
    net = model_settings(find_preset(preset), (256, 256), RANDOM).inp_former
    return inp_former(preset, inp_former=net.model_copy(update={"head": HEAD_CHANNELS}))


def labelled(preset: str) -> Detector:
    """INP-Former after labelled defects: a probe of theirs beside the first one, and types."""
    found = find_preset(preset)
    settings = model_settings(found, (found.sides[0],) * 2, RANDOM)
    probes = {"probe": len(TYPES), "prelabel_probe": settings.branches.probe}
    return inp_former(
        preset,
        types=TYPES,
        text_width=TEXT_WIDTHS["lite"],
        branches=settings.branches.model_copy(update=probes),
        map=settings.map.model_copy(update={"keep_prelabel_map": True}),
    )


def zero_shot(preset: str) -> Detector:
    """INP-Former that scores by the distance to the picture's own prototypes."""
    net = model_settings(find_preset(preset), (256, 256), RANDOM).inp_former
    return inp_former(preset, inp_former=net.model_copy(update={"judge_by": "prototypes"}))


def multiads(preset: str, **changes: Any) -> MultiAdsDetector:
    """MultiADS with a few-shot memory; `changes` are fields of MultiAdsSettings."""
    weights = PACKAGE if preset == "lite" else RANDOM
    settings = multiads_settings(
        preset, weights, FRAME_WH, None, "part", TYPES, TEXT_WIDTHS[preset], MEMORY_FRAMES
    )
    detector = MultiAdsDetector(settings.model_copy(update=changes))
    load_backbone(detector.features.backbone, weights)
    return filled(detector)


def dapo(preset: str) -> DapoDetector:
    """MultiADS's tower with learned tokens in every block, or a trained image vector."""
    plain = multiads(preset).settings
    changes: dict[str, Any] = {"prompts": PromptSettings(width=TEXT_WIDTHS[preset], depth=12)}
    if preset == "lite":
        changes |= {"visual_tokens": 0, "has_image_head": True, "image_share": IMAGE_SHARE}
    settings = DapoSettings.model_validate(
        plain.model_dump(exclude={"method", "product", "temperature"}) | changes
    )
    detector = DapoDetector(settings)
    load_backbone(detector.features.backbone, PACKAGE if preset == "lite" else RANDOM)
    return filled(detector)


def promptmad() -> PromptMadDetector:
    """A prompted reconstruction and the mask refiner behind it."""
    settings = PromptMadSettings(
        size_wh=(256, 256),
        backbone=PyramidSettings(name="efficientnet_lite0", taps=(0, 1, 2, 4), stride=16),
        refiner=REFINER,
        product="part",
    )
    detector = PromptMadDetector(settings)
    load_backbone(detector.features.backbone, PACKAGE)
    return filled(detector)


def types_graph(preset: str) -> TypeNamer:
    """The types graph of a bundle."""
    return TypeNamer(multiads(preset)).eval()


@torch.no_grad()
def filled(network: Network) -> Network:
    """Give constant parameters, which training would learn, random values."""
    generator = torch.Generator().manual_seed(0)
    for name, values in network.state_dict().items():
        if "backbone" in name or not values.dtype.is_floating_point or not values.numel():
            continue
        first = values.flatten()[0]
        if (values == first).all():
            noise = torch.rand(values.shape, generator=generator)
            # What starts at one is a scale and stays positive.
            values.copy_(noise + 0.5 if first == 1 else noise - 0.5)
    return network.eval()


REFINER = RefinerNet(text_width=TEXT_WIDTHS["lite"], types=TYPES)
PRESET_GRAPHS = {
    graph.name: graph
    for graph in (
        PresetGraph("lite", partial(inp_former, "lite")),
        PresetGraph("lite-types", partial(labelled, "lite")),
        PresetGraph("lite-head", partial(with_head, "lite")),
        PresetGraph("lite-zero-shot", partial(zero_shot, "lite")),
        PresetGraph(
            "lite-published", partial(inp_former, "lite", map=MapSettings(chain="published"))
        ),
        PresetGraph("lite-refiner", partial(inp_former, "lite", refiner=REFINER)),
        PresetGraph("standard-types", partial(labelled, "standard")),
        PresetGraph("accurate-types", partial(labelled, "accurate")),
        PresetGraph("large-types", partial(labelled, "large")),
        PresetGraph("multiads-lite", partial(multiads, "lite")),
        PresetGraph("multiads-lite-upsampled", partial(multiads, "lite", order="upsample-first")),
        PresetGraph("multiads-lite-as-types", partial(types_graph, "lite")),
        PresetGraph("multiads-standard", partial(multiads, "standard")),
        PresetGraph("multiads-accurate", partial(multiads, "accurate")),
        PresetGraph("dapo-lite", partial(dapo, "lite")),
        PresetGraph("dapo-standard", partial(dapo, "standard")),
        PresetGraph("dapo-accurate", partial(dapo, "accurate")),
        PresetGraph("promptmad-lite", promptmad),
    )
}


def in_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Rewrite an FP32 graph; INT8 with every layer that can be, calibrated on noise."""
    if precision == "fp32":
        return model
    if precision == "int8":
        model = quantized(model)
    return to_fp16(model)


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in INT8 with every layer that can be, the rest still FP32."""
    sides = model.graph.input[0].type.tensor_type.shape.dim
    shape = [side.dim_value for side in sides]
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    calibration = calibrate(model, noise, Int8Settings(form="trt"))
    return quantized_graph(calibration, calibration.layers)
