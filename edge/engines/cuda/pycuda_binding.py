"""CUDA through PyCUDA, for devices that already have it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from edge.engines.cuda.gpu import Gpu, cuda_version, l4t_release
from edge.engines.cuda.protocol import ADVICE, DEVICE, Buffer, Captured
from edge.errors import EngineError, EngineLoadError, InferenceError

log = logging.getLogger(__name__)
# CU_STREAM_NON_BLOCKING, which PyCUDA has no name for.
NON_BLOCKING = 1


class PyCuda:
    """The driver API in the context that TensorRT uses too: the device's primary one.

    Args:
        driver: the module pycuda.driver; tests give another with its functions.

    Raises:
        ImportError: PyCUDA is not installed, or there is no driver.
        EngineLoadError: the driver does not start.
    """

    def __init__(self, driver: Any = None):
        if driver is None:
            from pycuda import driver as installed

            driver = installed
        self._driver = driver
        try:
            driver.init()
            self._device = driver.Device(DEVICE)
            self._context = self._device.retain_primary_context()
        except driver.Error as error:
            raise EngineLoadError(f"CUDA: {error}; {ADVICE['cudaErrorNoDevice']}") from error

    def gpu(self) -> Gpu:
        """Describe the device; see Cuda."""
        device, attributes = self._device, self._driver.device_attribute
        major, minor = device.compute_capability()
        return Gpu(
            name=device.name(),
            compute_capability=f"{major}.{minor}",
            multiprocessors=device.get_attribute(attributes.MULTIPROCESSOR_COUNT),
            memory_clock_khz=device.get_attribute(attributes.MEMORY_CLOCK_RATE),
            driver=cuda_version(self._driver.get_driver_version()),
            runtime=".".join(str(part) for part in self._driver.get_version()[:2]),
            l4t=l4t_release(),
        )

    def allocate(self, size: int) -> Buffer:
        """Allocate on both sides; see Cuda."""
        with self._current(EngineLoadError):
            device = self._driver.mem_alloc(size)
            host = self._driver.pagelocked_empty(size, np.uint8)
        return Buffer(host, int(device), (device, host.base))

    def free(self, buffer: Buffer) -> None:
        """Free a buffer; see Cuda."""
        for handle in buffer.handles:
            self._release(handle)

    def copy(self, buffer: Buffer, to: Literal["device", "host"], stream: Any) -> None:
        """Copy a whole buffer; see Cuda."""
        with self._current(InferenceError):
            if to == "device":
                self._driver.memcpy_htod_async(buffer.device, buffer.host, stream)
            else:
                self._driver.memcpy_dtoh_async(buffer.host, buffer.device, stream)

    def open_stream(self) -> Any:
        """Make a stream; see Cuda."""
        with self._current(EngineLoadError):
            return self._driver.Stream(NON_BLOCKING)

    def handle(self, stream: Any) -> int:
        """Return a stream's handle; see Cuda."""
        return int(stream.handle)

    def synchronise(self, stream: Any) -> None:
        """Wait for a stream; see Cuda."""
        with self._current(InferenceError):
            stream.synchronize()

    def close_stream(self, stream: Any) -> None:
        """Nothing: PyCUDA frees a stream with the last reference to it."""

    def capture(self, stream: Any, work: Callable[[], None]) -> Captured | None:  # noqa: ARG002
        """PyCUDA has no CUDA graphs."""
        return None

    def _release(self, handle: Any) -> None:
        try:
            with self._current(EngineError):
                handle.free()
        except EngineError as error:
            log.warning("not freed reason=%s", error)

    @contextmanager
    def _current(self, kind: type[EngineError]) -> Iterator[None]:
        """Make the context current on this thread, and errors ours."""
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._driver.Error as error:
            raise kind(f"CUDA: {error}") from error
