"""The interface between a station and the runtime of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import TensorSpec
from edge.errors import InferenceError

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Description of an engine for results and logs: `onnxruntime 1.23.2 fp32 on CPU, 2 threads`.

    Attributes:
        key: of a compiled engine; empty for a runtime that takes the graph as it is.
        score_tolerance: by how much its score may differ from the trained model's, as the parity
            check that it passed on this device allows; None: not checked on this device.
    """

    backend: str
    version: str
    precision: str
    device: str
    threads: int
    key: str = ""
    score_tolerance: float | None = None

    @property
    def is_verified(self) -> bool:
        """Whether it has passed the parity check on this device."""
        return self.score_tolerance is not None


class Engine(Protocol):
    """Named arrays in, named arrays out, shapes fixed when the engine was loaded.

    `run` copies its inputs; the arrays it returns are the engine's own buffers and hold until the
    next `run`. Not safe for use from two threads at once.
    """

    info: EngineInfo

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once.

        Raises:
            InferenceError: wrong names, shapes or dtypes, or a failure inside the engine.
        """
        ...

    def close(self) -> None:
        """Release memory and threads; idempotent."""
        ...

    def __enter__(self) -> Engine:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_inputs(specs: Mapping[str, TensorSpec], inputs: Arrays) -> None:
    """Refuse names, shapes and dtypes that differ from the bundle's.

    Raises:
        InferenceError: naming the tensor, what was expected and what was given.
    """
    if set(inputs) != set(specs):
        raise InferenceError(f"engine: expected inputs {sorted(specs)}, got {sorted(inputs)}")
    for name, spec in specs.items():
        array = inputs[name]
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise InferenceError(
                f'engine: input "{name}" expected {spec.shape} {spec.dtype}, got '
                f"{array.shape} {array.dtype}; the bundle's pre-processing was not applied"
            )
