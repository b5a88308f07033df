"""Put operators around an exported OpenVINO model: frames in, map and score out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle.manifest import GraphFile
from edge.bundle.openvino_ir_file import values_beside
from edge.engines.openvino.library import load_library, reason
from edge.errors import ExportError
from edge.toolchain.anomalib_import.exported_model import GREY_LEVELS, MAP, SCORE, InputForm
from edge.toolchain.anomalib_import.frame_graph import describe, whole_map
from edge.toolchain.anomalib_import.seen_area import SeenArea
from edge.toolchain.packing.export import INPUT


def write_frame_graph(
    exported: Any,
    form: InputForm,
    path: Path,
    size_wh: tuple[int, int],
    map_wh: tuple[int, int],
    area: SeenArea,
) -> GraphFile:
    """Write the two files of a bundle's OpenVINO IR; see ExportedModel.

    Raises:
        ExportError: OpenVINO refuses the graph.
    """
    openvino = load_library()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        model = exported.clone()
        readers = model.input().get_node().output(0).get_target_inputs()
        maps, scores = (model.output(name).get_node().input_value(0) for name in (MAP, SCORE))
        _forget_names(model)
        frame = _frame(size_wh)
        for reader in readers:
            reader.replace_source_output(_batch(frame, form))
        outputs = [_map(maps, map_wh, area), _named(_first(scores, [1]), "score")]
        # Made anew, it has no record of how and from what file the export was made.
        whole = openvino.Model(outputs, [frame], "anomalib")
        openvino.serialize(whole, path, path.with_name(values_beside(path.name)))
    except RuntimeError as error:
        raise ExportError(f"{path.name}: {reason(error)}") from error
    return describe(path.name, "openvino_ir", size_wh, whole_map(map_wh, area))


def _forget_names(model: Any) -> None:
    """Take their names from all tensors, so that ours are the only ones."""
    for operator in model.get_ops():
        for output in operator.outputs():
            output.get_tensor().set_names(set())


def _frame(size_wh: tuple[int, int]) -> Any:
    from openvino import opset13 as ops

    width, height = size_wh
    return _named(ops.parameter([1, height, width, 3], np.uint8), INPUT)


def _batch(frame: Any, form: InputForm) -> Any:
    """Make what anomalib feeds from a frame."""
    from openvino import opset13 as ops

    shares = ops.divide(ops.convert(frame, "f32"), np.float32(GREY_LEVELS))
    planes = ops.transpose(shares, np.array([0, 3, 1, 2]))
    kind = "f16" if form.dtype == "float16" else "f32"
    return ops.convert(ops.concat([planes] * form.batch, 0), kind).output(0)


def _map(maps: Any, map_wh: tuple[int, int], area: SeenArea) -> Any:
    from openvino import opset13 as ops

    width, height = map_wh
    seen = _first(maps, [1, height, width])
    if area.is_whole:
        return _named(seen, "map")
    before, behind = np.array([0, area.top, area.left]), np.array([0, area.bottom, area.right])
    return _named(ops.pad(seen, before, behind, "constant", np.float32(0)), "map")


def _first(values: Any, shape: list[int]) -> Any:
    """Take what is of the first picture of a batch, as FP32 of that shape."""
    from openvino import opset13 as ops

    first = ops.slice(ops.convert(values, "f32"), np.array([0]), np.array([1]), np.array([1]))
    return ops.reshape(first, np.array(shape), special_zero=False)


def _named(operator: Any, name: str) -> Any:
    operator.set_friendly_name(name)
    operator.output(0).get_tensor().set_names({name})
    return operator
