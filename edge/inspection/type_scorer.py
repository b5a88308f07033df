"""Frame -> type logits: the bundle's second graph, which names what the first one found."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile
from edge.engines.protocol import Engine
from edge.errors import InferenceError
from edge.inspection.preprocess import to_network


@dataclass(frozen=True, slots=True)
class Typed:
    """Type logits of one frame, from the types graph.

    Attributes:
        logits: (1 + types, h, w) float32, row 0 normal; overwritten by the next frame. None when
            it was not asked.
        preprocess_ms, infer_ms: time spent.
        problem: why there are no type logits, or empty.
    """

    logits: NDArray[np.float32] | None = None
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    problem: str = ""


class TypeScorer:
    """Runs the types graph on whole frames; buffers are allocated once."""

    def __init__(self, engine: Engine, graph: GraphFile):
        self._engine = engine
        self._input = graph.inputs[0].name
        self._frame = np.zeros(graph.inputs[0].shape, np.uint8)

    def score(self, pixels_bgr: NDArray[np.uint8]) -> Typed:
        """Name one frame, (H, W, 3) uint8 BGR of any size.

        Raises:
            InferenceError: the engine failed or returned values that are not finite.
        """
        start = perf_counter()
        height, width = self._frame.shape[1:3]
        to_network(pixels_bgr, (width, height), self._frame[0])
        ready = perf_counter()
        logits = self._engine.run({self._input: self._frame})["type_logits"][0]
        done = perf_counter()
        if not np.isfinite(logits).all():
            raise InferenceError("types engine: type logits are not finite; rebuild the engine")
        return Typed(logits, (ready - start) * 1e3, (done - ready) * 1e3)
