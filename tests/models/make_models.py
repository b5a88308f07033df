"""Writes detect.onnx and types.onnx beside this file, so that tests of the line need no onnx.

    python tests/models/make_models.py

`detect` finds red: it takes (1, 256, 256, 3) uint8 and gives map (1, 128, 128), red minus green as
a share of 255 in cells of 2 x 2 pixels, and score (1,), its maximum. `types` tells bright from
dark: it takes (1, 64, 96, 3) and gives type_logits (1, 3, 8, 12), by the mean brightness of cells
of 8 x 8 pixels: normal at mid-grey, then `bright` above and `dark` below.
"""

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).parent
Shape = tuple[int, ...]


def main() -> None:
    red = np.array([1, -1, 0], np.float32).reshape(1, 3, 1, 1) / (4 * 255)
    write(
        "detect",
        (1, 256, 256, 3),
        [
            helper.make_node("Conv", ["planes", "red"], ["cells"], strides=[2, 2]),
            helper.make_node("Squeeze", ["cells", "channel"], ["map"]),
            helper.make_node("ReduceMax", ["map", "places"], ["score"], keepdims=0),
        ],
        {"map": (1, 128, 128), "score": (1,)},
        {
            "red": np.tile(red, (1, 1, 2, 2)),
            "channel": np.array([1], np.int64),
            "places": np.array([1, 2], np.int64),
        },
    )
    write(
        "types",
        (1, 64, 96, 3),
        [
            helper.make_node("Conv", ["planes", "mean"], ["cells"], strides=[8, 8]),
            helper.make_node("Sub", ["cells", "middle"], ["above"]),
            helper.make_node("Mul", ["above", "slope"], ["type_logits"]),
        ],
        {"type_logits": (1, 3, 8, 12)},
        {
            "mean": np.full((1, 3, 8, 8), 1 / 192, np.float32),
            "middle": np.array(128, np.float32),
            "slope": np.array([0, 1 / 8, -1 / 8], np.float32).reshape(1, 3, 1, 1),
        },
    )


def write(
    name: str,
    frame: Shape,
    nodes: list[NodeProto],
    outputs: dict[str, Shape],
    constants: dict[str, np.ndarray],
) -> None:
    """Write a graph whose nodes read `planes`, the frame as (1, 3, H, W) float32."""
    first = [
        helper.make_node("Cast", ["frame"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["level"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        first + nodes,
        name,
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, frame)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model, full_check=True)
    save(model, str(FOLDER / f"{name}.onnx"))


if __name__ == "__main__":
    main()
