"""pycuda.driver over the same fake GPU: what we use of PyCUDA 2026.1, and its rule of contexts.

Every call needs the device's context on top of the calling thread's stack.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from types import SimpleNamespace

import numpy as np

from tests.support.fake_cuda import FakeCudart, Misuse, cudaDeviceAttr, cudaMemcpyKind


class Error(Exception):
    pass


class device_attribute(enum.Enum):  # noqa: N801 - its name in PyCUDA
    MULTIPROCESSOR_COUNT = cudaDeviceAttr.cudaDevAttrMultiProcessorCount
    MEMORY_CLOCK_RATE = cudaDeviceAttr.cudaDevAttrMemoryClockRate


class FakePyCuda:
    """Stands for the module."""

    Error = Error
    device_attribute = device_attribute

    def __init__(self, cudart: FakeCudart):
        self.cudart = cudart
        self.depth = threading.local()

    def init(self):
        if "cuInit" in self.cudart.statuses:
            raise Error("cuInit failed: no CUDA-capable device is detected")

    def Device(self, number):  # noqa: N802
        attributes = self.cudart.attributes
        major = attributes[cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor]
        minor = attributes[cudaDeviceAttr.cudaDevAttrComputeCapabilityMinor]
        return SimpleNamespace(
            name=lambda: self.cudart.name,
            compute_capability=lambda: (major, minor),
            get_attribute=lambda attr: attributes[attr.value],
            retain_primary_context=lambda: SimpleNamespace(push=self._push, pop=self._pop),
        )

    def get_version(self):
        return (12, 6, 0)

    def get_driver_version(self):
        return 12060

    def mem_alloc(self, size):
        address = self._do(self.cudart.cudaMalloc, size)
        return DeviceAllocation(self, address)

    def pagelocked_empty(self, shape, dtype):
        size = int(shape) * np.dtype(dtype).itemsize
        address = self._do(self.cudart.cudaHostAlloc, size, 0)
        return PagelockedHostAllocation(self, address).array(size)

    def memcpy_htod_async(self, dest, src, stream):
        kind = cudaMemcpyKind.cudaMemcpyHostToDevice
        address = src.ctypes.data
        self._do(self.cudart.cudaMemcpyAsync, dest, address, src.nbytes, kind, stream.handle)

    def memcpy_dtoh_async(self, dest, src, stream):
        kind = cudaMemcpyKind.cudaMemcpyDeviceToHost
        address = dest.ctypes.data
        self._do(self.cudart.cudaMemcpyAsync, address, src, dest.nbytes, kind, stream.handle)

    def Stream(self, flags):  # noqa: N802
        if flags != 1:
            raise Misuse("the stream would wait for the default one")
        stream = self._do(self.cudart.cudaStreamCreateWithFlags, flags)
        return Stream(self, stream)

    def _do(self, call, *arguments):
        if getattr(self.depth, "value", 0) != 1:
            raise Misuse("no context on this thread")
        status, *values = call(*arguments)
        if status:
            raise Error(f"{call.__name__} failed")
        return values[0] if values else None

    def _push(self):
        self.depth.value = getattr(self.depth, "value", 0) + 1

    def _pop(self):
        self.depth.value -= 1


class Stream:
    def __init__(self, driver: FakePyCuda, stream):
        self._driver, self._stream = driver, stream
        self.handle = int(stream)

    def synchronize(self):
        self._driver._do(self._driver.cudart.cudaStreamSynchronize, self.handle)

    def __del__(self):
        self._driver.cudart.cudaStreamDestroy(self.handle)


class DeviceAllocation:
    def __init__(self, driver: FakePyCuda, address: int):
        self._driver, self._address = driver, address

    def __int__(self):
        return self._address

    def free(self):
        self._driver._do(self._driver.cudart.cudaFree, self._address)


class PagelockedHostAllocation(np.ndarray):
    """In PyCUDA the base of the array; here an array itself, so that NumPy keeps it as one."""

    def __new__(cls, driver: FakePyCuda, address: int):
        _, memory = driver.cudart.memory[address]
        raw = (ctypes.c_uint8 * memory.size).from_address(address)
        base = np.frombuffer(raw, np.uint8).view(cls)
        base.driver, base.address = driver, address
        return base

    def array(self, size: int) -> np.ndarray:
        class View(np.ndarray):
            base = self

        return np.ndarray.view(self[:size], View)

    def free(self):
        self.driver._do(self.driver.cudart.cudaFreeHost, self.address)
