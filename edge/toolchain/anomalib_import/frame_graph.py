"""The description of an imported bundle's graph, whatever its format."""

from __future__ import annotations

from typing import Literal

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.toolchain.anomalib_import.seen_area import SeenArea
from edge.toolchain.packing.export import INPUT


def whole_map(map_wh: tuple[int, int], area: SeenArea) -> tuple[int, int, int]:
    """Shape of the map of a whole frame, (1, h, w)."""
    width, height = map_wh
    return (1, height + area.top + area.bottom, width + area.left + area.right)


def describe(
    file: str,
    kind: Literal["onnx", "openvino_ir"],
    size_wh: tuple[int, int],
    map_shape: tuple[int, int, int],
) -> GraphFile:
    """Describe a graph that takes frames of `size_wh` and gives `map` and `score`."""
    width, height = size_wh
    return GraphFile(
        file=file,
        format=kind,
        precision="fp32",
        inputs=(TensorSpec(name=INPUT, shape=(1, height, width, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="map", shape=map_shape, dtype="float32"),
            TensorSpec(name="score", shape=(1,), dtype="float32"),
        ),
    )
