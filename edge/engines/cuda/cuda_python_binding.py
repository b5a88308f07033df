"""CUDA through NVIDIA's cuda-python."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edge.engines.cuda.gpu import Gpu, cuda_version, l4t_release
from edge.engines.cuda.protocol import ADVICE, DEVICE, Buffer, Captured
from edge.errors import EngineError, EngineLoadError, InferenceError

log = logging.getLogger(__name__)


class CudaPython:
    """The runtime API; see Cuda for what each method does.

    Args:
        runtime: the module cuda.bindings.runtime; tests give another with its functions.

    Raises:
        ImportError: cuda-python is not installed.
    """

    def __init__(self, runtime: Any = None):
        if runtime is None:
            from cuda.bindings import runtime as installed

            runtime = installed
        self._cuda = runtime

    def gpu(self) -> Gpu:
        """Describe the device; see Cuda."""
        cuda = self._cuda
        if self._load(cuda.cudaGetDeviceCount) < 1:
            raise EngineLoadError(f"CUDA: {ADVICE['cudaErrorNoDevice']}")
        attributes = cuda.cudaDeviceAttr
        major, minor, multiprocessors, memory_clock = (
            self._load(cuda.cudaDeviceGetAttribute, attribute, DEVICE)
            for attribute in (
                attributes.cudaDevAttrComputeCapabilityMajor,
                attributes.cudaDevAttrComputeCapabilityMinor,
                attributes.cudaDevAttrMultiProcessorCount,
                attributes.cudaDevAttrMemoryClockRate,
            )
        )
        return Gpu(
            name=self._load(cuda.cudaGetDeviceProperties, DEVICE).name.decode().strip("\0 "),
            compute_capability=f"{major}.{minor}",
            multiprocessors=multiprocessors,
            memory_clock_khz=memory_clock,
            driver=cuda_version(self._load(cuda.cudaDriverGetVersion)),
            runtime=cuda_version(self._load(cuda.cudaRuntimeGetVersion)),
            l4t=l4t_release(),
        )

    def allocate(self, size: int) -> Buffer:
        """Allocate on both sides; see Cuda."""
        cuda = self._cuda
        device = self._load(cuda.cudaMalloc, size)
        try:
            host = self._load(cuda.cudaHostAlloc, size, cuda.cudaHostAllocDefault)
        except EngineLoadError:
            self._release(cuda.cudaFree, device)
            raise
        view = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(host)))
        return Buffer(view, int(device), (device, host))

    def free(self, buffer: Buffer) -> None:
        """Free a buffer; see Cuda."""
        device, host = buffer.handles
        self._release(self._cuda.cudaFree, device)
        self._release(self._cuda.cudaFreeHost, host)

    def copy(self, buffer: Buffer, to: Literal["device", "host"], stream: Any) -> None:
        """Copy a whole buffer; see Cuda."""
        kinds, (device, host) = self._cuda.cudaMemcpyKind, buffer.handles
        target, source, kind = (
            (device, host, kinds.cudaMemcpyHostToDevice)
            if to == "device"
            else (host, device, kinds.cudaMemcpyDeviceToHost)
        )
        self._run(self._cuda.cudaMemcpyAsync, target, source, buffer.host.size, kind, stream)

    def open_stream(self) -> Any:
        """Make a stream; see Cuda."""
        return self._load(self._cuda.cudaStreamCreateWithFlags, self._cuda.cudaStreamNonBlocking)

    def handle(self, stream: Any) -> int:
        """Return a stream's handle; see Cuda."""
        return int(stream)

    def synchronise(self, stream: Any) -> None:
        """Wait for a stream; see Cuda."""
        self._run(self._cuda.cudaStreamSynchronize, stream)

    def close_stream(self, stream: Any) -> None:
        """Give a stream back; see Cuda."""
        self._release(self._cuda.cudaStreamDestroy, stream)

    def capture(self, stream: Any, work: Callable[[], None]) -> Captured | None:
        """Record a CUDA graph; see Cuda."""
        cuda = self._cuda
        try:
            graph = self._record(stream, work)
            try:
                launchable = self._run(cuda.cudaGraphInstantiate, graph, 0)
            finally:
                self._release(cuda.cudaGraphDestroy, graph)
        except InferenceError as error:
            log.info("cuda graph off reason=%s", error)
            return None
        return _CudaGraph(self, launchable, stream)

    def _record(self, stream: Any, work: Callable[[], None]) -> Any:
        cuda = self._cuda
        # Another thread may load an engine meanwhile: its allocations are none of this capture's.
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._run(cuda.cudaStreamBeginCapture, stream, mode)
        try:
            work()
        except InferenceError:
            with suppress(InferenceError):
                self._release(cuda.cudaGraphDestroy, self._run(cuda.cudaStreamEndCapture, stream))
            raise
        return self._run(cuda.cudaStreamEndCapture, stream)

    def launch(self, graph: Any, stream: Any) -> None:
        """Launch a captured graph."""
        self._run(self._cuda.cudaGraphLaunch, graph, stream)

    def destroy(self, graph: Any) -> None:
        """Free a captured graph."""
        self._release(self._cuda.cudaGraphExecDestroy, graph)

    def _load(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return self._call(EngineLoadError, call, *arguments)

    def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return self._call(InferenceError, call, *arguments)

    def _release(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            self._call(EngineError, call, *arguments)
        except EngineError as error:
            log.warning("not freed reason=%s", error)

    def _call(self, kind: type[EngineError], call: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that returns its status first; return what else it returns."""
        try:
            status, *values = call(*arguments)
        except RuntimeError as error:
            # The binding's own words for a library or function that is not there.
            raise kind(f"CUDA: {call.__name__}: {error}") from error
        if int(status) != 0:
            _, text = self._cuda.cudaGetErrorString(status)
            advice = ADVICE.get(status.name)
            raise kind(
                f"CUDA: {call.__name__}: {text.decode()} ({status.name})"
                + (f"; {advice}" if advice else "")
            )
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class _CudaGraph:
    cuda: CudaPython
    graph: Any
    stream: Any

    def launch(self) -> None:
        self.cuda.launch(self.graph, self.stream)

    def close(self) -> None:
        self.cuda.destroy(self.graph)
