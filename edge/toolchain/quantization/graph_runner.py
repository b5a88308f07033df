"""Run a graph on the CPU and read any of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edge.engines.onnx.engine import session_options
from edge.errors import PrecisionError

Arrays = dict[str, NDArray[np.float32]]


class Runner:
    """A graph loaded from memory.

    Args:
        model: with one input, the frame.
        tensors: names of the tensors to read; None reads the graph's outputs.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str] | None = None):
        self._names = [value.name for value in model.graph.output] if tensors is None else tensors
        self._input = model.graph.input[0].name
        opened = model if tensors is None else _with_outputs(model, tensors)
        try:
            self._session = ort.InferenceSession(
                opened.SerializeToString(),
                session_options(0, "int8"),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            raise PrecisionError(f"ONNX Runtime does not take the graph: {first}") from error

    def run(self, frame: NDArray[np.uint8]) -> Arrays:
        """Read the tensors for one (H, W, 3) uint8 RGB frame at network size."""
        values = self._session.run(list(self._names), {self._input: frame[None]})
        return dict(zip(self._names, values, strict=True))

    def each(self, frames: NDArray[np.uint8]) -> Iterator[Arrays]:
        """Read the tensors for every one of (n, H, W, 3) frames."""
        return (self.run(frame) for frame in frames)


def _with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return opened
