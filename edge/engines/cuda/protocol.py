"""The part of CUDA that an engine needs, as a protocol with two bindings.

cuda-python is the default. PyCUDA is the second; it has no CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.engines.cuda.gpu import Gpu

DEVICE = 0
# What a person can do about a status; all others are only named.
ADVICE = {
    "cudaErrorMemoryAllocation": "stop other programs on the GPU, or use a smaller network",
    "cudaErrorInsufficientDriver": "install the NVIDIA driver, or set engine.backend: onnxruntime",
    "cudaErrorNoDevice": "no NVIDIA GPU is visible; set engine.backend: onnxruntime",
    "cudaErrorDevicesUnavailable": "another program holds the GPU alone",
    "cudaErrorSystemDriverMismatch": "driver and libraries are of two releases; restart the device",
    "cudaErrorIllegalAddress": "the GPU's state is lost; restart the process",
}


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Memory of one tensor on both sides.

    Attributes:
        host: (size,) uint8, page-locked; invalid after `free`.
        device: address on the GPU.
        handles: what the binding needs to free it.
    """

    host: NDArray[np.uint8]
    device: int
    handles: tuple[Any, Any] = (None, None)


class Captured(Protocol):
    """Work recorded once, to be launched as a whole."""

    def launch(self) -> None:
        """Put the work on its stream."""

    def close(self) -> None:
        """Free it."""


class Cuda(Protocol):
    """CUDA calls of an engine. Streams are the binding's objects; TensorRT takes `handle(stream)`.

    Allocation raises EngineLoadError, execution raises InferenceError. Freeing only logs, since it
    often happens after another failure.
    """

    def gpu(self) -> Gpu:
        """Describe the device."""
        ...

    def allocate(self, size: int) -> Buffer:
        """Allocate `size` bytes on both sides."""
        ...

    def free(self, buffer: Buffer) -> None:
        """Free a buffer, once."""

    def copy(self, buffer: Buffer, to: Literal["device", "host"], stream: Any) -> None:
        """Put the copy of a whole buffer on a stream."""

    def open_stream(self) -> Any:
        """Make a stream that does not wait for the default one."""
        ...

    def handle(self, stream: Any) -> int:
        """Return a stream's handle, as TensorRT takes it."""
        ...

    def synchronise(self, stream: Any) -> None:
        """Wait for everything on a stream."""

    def close_stream(self, stream: Any) -> None:
        """Give a stream back."""

    def capture(self, stream: Any, work: Callable[[], None]) -> Captured | None:
        """Record what `work` puts on a stream without running it; None if that is not possible."""
        ...
