"""A miniature of what we quantize, written as ONNX: convolutions, tokens, map and score."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 64
# What `with_outliers` spoils.
HURTING = "fc1"


class Writer:
    """Collects nodes and constants of one graph; every method returns the name of its output."""

    def __init__(self, seed: int = 0):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes)
        )
        return output

    def conv(self, x: str, name: str, shape: tuple[int, ...], **attributes) -> str:
        fan = int(np.prod(shape[1:]))
        weight = self.rng.normal(0, fan**-0.5, shape).astype(np.float32)
        bias = self.rng.normal(0, 0.1, shape[0]).astype(np.float32)
        constants = [
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", bias),
        ]
        return self.node("Conv", [x, *constants], name, **attributes)

    def relu6(self, x: str) -> str:
        return self.node("Clip", [x, "zero", "six"], f"{x}_relu6")

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        weight = self.rng.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, outputs).astype(np.float32)
        product = self.node("MatMul", [x, self.constant(f"{name}_kernel", weight)], f"{name}_out")
        return self.node("Add", [product, self.constant(f"{name}.bias", bias)], name)

    def model(self, outputs: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
        frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, (1, SIZE, SIZE, 3))
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "small", [frame], values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 10
        onnx.checker.check_model(model, full_check=True)
        return model


def small_network(mean: float = 127, seed: int = 0) -> onnx.ModelProto:
    """Frame (1, 64, 64, 3) -> map (1, 32, 32) and score (1,): features against their rebuilding."""
    w = Writer(seed)
    w.constant("zero", np.float32(0))
    w.constant("six", np.float32(6))
    level = w.node("Cast", ["frame"], "level", to=TensorProto.FLOAT)
    planes = w.node("Transpose", [level], "planes", perm=[0, 3, 1, 2])
    mean_name = w.constant("mean", np.full((1, 3, 1, 1), mean, np.float32))
    deviation = w.constant("deviation", np.full((1, 3, 1, 1), 128, np.float32))
    image = w.node("Div", [w.node("Sub", [planes, mean_name], "centred"), deviation], "image")
    x = w.relu6(w.conv(image, "stem", (32, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]))
    x = w.relu6(w.conv(x, "deep", (32, 1, 3, 3), group=32, pads=[1, 1, 1, 1]))
    trunk = w.conv(x, "project", (24, 32, 1, 1))
    x = w.relu6(w.conv(trunk, "expand", (48, 24, 1, 1)))
    x = w.conv(x, "shrink", (24, 48, 1, 1))
    features = w.node("Add", [trunk, x], "features")
    rows = w.constant("rows", np.array([1, 24, 1024], np.int64))
    tokens = w.node(
        "Transpose", [w.node("Reshape", [features, rows], "flat")], "tokens", perm=[0, 2, 1]
    )
    gain = w.constant("gain", np.ones(24, np.float32))
    offset = w.constant("offset", np.zeros(24, np.float32))
    normal = w.node("LayerNormalization", [tokens, gain, offset], "normal", axis=-1)
    hidden = w.node("Gelu", [w.linear(normal, "fc1", 24, 48)], "hidden")
    rebuilt = w.linear(hidden, "fc2", 48, 24)
    apart = w.node("Sub", [tokens, rebuilt], "apart")
    last = w.constant("last", np.array([2], np.int64))
    squared = w.node("Mul", [apart, apart], "squared")
    distance = w.node("ReduceSum", [squared, last], "distance", keepdims=0)
    root = w.node("Sqrt", [distance], "root")
    w.node("Reshape", [root, w.constant("grid", np.array([1, 32, 32], np.int64))], "map")
    every = w.constant("every", np.array([1], np.int64))
    w.node("ReduceMax", [root, every], "score", keepdims=0)
    return w.model({"map": (1, 32, 32), "score": (1,)})


def with_outliers() -> onnx.ModelProto:
    """One input channel of the layer HURTING is far above the rest; the function is the same."""
    model = small_network()
    values = {entry.name: entry for entry in model.graph.initializer}

    def scale(name: str, place, factor: float) -> None:
        value = numpy_helper.to_array(values[name]).copy()
        value[place] *= factor
        values[name].CopyFrom(numpy_helper.from_array(value, name))

    scale("gain", 5, 300)
    scale(f"{HURTING}_kernel", 5, 1 / 300)
    return model


def small_frames(count: int = 6, seed: int = 1) -> np.ndarray:
    """Smooth coloured fields with a little noise, (n, 64, 64, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    frames = []
    for _ in range(count):
        turn = rng.uniform(0, 6, (3, 2))
        waves = [np.sin(a * 4 * rows + b * 4 * columns) for a, b in turn]
        field = 127 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (SIZE, SIZE, 3))
        frames.append(field.clip(0, 255).astype(np.uint8))
    return np.stack(frames)
