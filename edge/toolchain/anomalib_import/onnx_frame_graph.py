"""Put nodes around an exported ONNX graph: frames in, map and score out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, compose, helper, numpy_helper

from edge.bundle.manifest import GraphFile
from edge.errors import ExportError
from edge.toolchain.anomalib_import.exported_model import GREY_LEVELS, MAP, SCORE, InputForm
from edge.toolchain.anomalib_import.frame_graph import describe, whole_map
from edge.toolchain.anomalib_import.seen_area import SeenArea
from edge.toolchain.packing.export import INPUT, without_traces

# Keeps the export's names apart from ours.
PREFIX = "anomalib/"
# protobuf cannot write larger messages.
MOST_BYTES = 2**31 - 1


def write_frame_graph(
    exported: onnx.ModelProto,
    form: InputForm,
    path: Path,
    size_wh: tuple[int, int],
    map_wh: tuple[int, int],
    area: SeenArea,
) -> GraphFile:
    """Write the ONNX file of a bundle; see ExportedModel.

    Raises:
        ExportError: the graph is invalid or too large.
    """
    model = compose.add_prefix(exported, PREFIX)
    graph = model.graph
    _take_frames(graph, form, size_wh)
    shape = _give_map_and_score(graph, map_wh, area)
    without_traces(model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ExportError(f"{path.name}: {str(error).splitlines()[0]}") from error
    if model.ByteSize() > MOST_BYTES:
        raise ExportError(f"{path.name}: expected less than 2 GiB; export a smaller one")
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return describe(path.name, "onnx", size_wh, shape)


def _take_frames(graph: onnx.GraphProto, form: InputForm, size_wh: tuple[int, int]) -> None:
    name = PREFIX + form.name
    kind = TensorProto.FLOAT16 if form.dtype == "float16" else TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", [INPUT], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "grey_levels"], ["shares"]),
        helper.make_node("Transpose", ["shares"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Concat", ["planes"] * form.batch, ["batch"], axis=0),
        helper.make_node("Cast", ["batch"], [name], to=kind),
    ]
    graph.initializer.append(numpy_helper.from_array(np.float32(GREY_LEVELS), "grey_levels"))
    _put_first(graph, nodes)
    kept = [value for value in graph.input if value.name != name]
    del graph.input[:]
    frame = (1, size_wh[1], size_wh[0], 3)
    graph.input.extend([helper.make_tensor_value_info(INPUT, TensorProto.UINT8, frame), *kept])


def _give_map_and_score(
    graph: onnx.GraphProto, map_wh: tuple[int, int], area: SeenArea
) -> tuple[int, int, int]:
    """Put our outputs in place of the export's; returns the shape of the map."""
    width, height = map_wh
    whole = whole_map(map_wh, area)
    pads = [0, area.top, area.left, 0, area.bottom, area.right]
    constants = {
        "first": [0], "second": [1], "map_shape": [1, height, width], "score_shape": [1],
        "missing": pads,
    }  # fmt: skip
    graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    )
    seen = "map" if area.is_whole else "seen"
    for source, target, shape in ((MAP, seen, "map_shape"), (SCORE, "score", "score_shape")):
        graph.node.extend([
            helper.make_node("Cast", [PREFIX + source], [f"{target}_all"], to=TensorProto.FLOAT),
            helper.make_node(
                "Slice", [f"{target}_all", "first", "second", "first"], [f"{target}_first"]
            ),
            helper.make_node("Reshape", [f"{target}_first", shape], [target]),
        ])  # fmt: skip
    if not area.is_whole:
        graph.node.append(helper.make_node("Pad", ["seen", "missing"], ["map"]))
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("map", whole), ("score", (1,)))
    )
    return whole


def _put_first(graph: onnx.GraphProto, nodes: list[NodeProto]) -> None:
    """Put nodes before all others: ONNX wants them in order."""
    kept = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(kept)
