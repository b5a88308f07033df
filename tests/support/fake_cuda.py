"""CUDA without a GPU: real memory, work that waits on its stream, and no forgiveness.

Work put on a stream is done when the stream is synchronised, never before, so that a result read
too early is wrong. Misuse that a GPU would answer with silence or a crash raises Misuse: memory
used after it was freed or freed twice, copies of another size than their buffers, a stream given
back while work waits on it. What stays allocated at the end is a leak.
"""

# ruff: noqa: N801, N802, N815 - their names in CUDA

from __future__ import annotations

import enum
from types import SimpleNamespace

import numpy as np

POISON = 0xFF  # as float32 it is not a number


class Misuse(AssertionError):
    """What must never happen."""


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class cudaDeviceAttr(enum.IntEnum):
    cudaDevAttrMultiProcessorCount = 16
    cudaDevAttrMemoryClockRate = 36
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


OK = cudaError_t.cudaSuccess


class Stream:
    """Work that waits, and what is being captured, if anything is."""

    def __init__(self, handle: int):
        self.handle = handle
        self.pending: list = []
        self.capturing: list | None = None
        self.is_open = True

    def __int__(self) -> int:
        return self.handle


class Graph:
    """Captured work; `is_open` until it is destroyed."""

    def __init__(self, work: list):
        self.work, self.is_open = work, True


class FakeCudart:
    """The functions of cuda.bindings.runtime that we call, with their argument names.

    `log` holds what was done in order, as (verb, stream) pairs. `statuses` makes a function return
    a status instead of doing anything: {"cudaMalloc": cudaError_t.cudaErrorMemoryAllocation}.
    """

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaDeviceAttr = cudaDeviceAttr
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1

    def __init__(self, compute_capability: str = "8.7", name: str = "Orin"):
        self.attributes = dict(zip(cudaDeviceAttr, (8, 3_199_000, 0, 0)))
        major, minor = compute_capability.split(".")
        self.attributes[cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor] = int(major)
        self.attributes[cudaDeviceAttr.cudaDevAttrComputeCapabilityMinor] = int(minor)
        self.name = name
        self.memory: dict[int, tuple[str, np.ndarray]] = {}
        self.freed: dict[int, np.ndarray] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: list[Graph] = []
        self.log: list[tuple[str, int]] = []
        self.statuses: dict[str, cudaError_t] = {}

    # What tests look at.

    def assert_clean(self) -> None:
        """Everything was given back."""
        if self.memory:
            raise Misuse(f"leak: {len(self.memory)} allocations")
        if any(stream.is_open for stream in self.streams.values()):
            raise Misuse("leak: a stream")
        if any(graph.is_open for graph in self.graphs):
            raise Misuse("leak: a graph")

    def put(self, stream_handle: int, verb: str, work, addresses: tuple[int, ...]) -> None:
        """Put work on a stream, or into its capture."""
        stream = self._stream(stream_handle)
        (stream.pending if stream.capturing is None else stream.capturing).append(
            (verb, work, addresses)
        )
        if stream.capturing is None:
            self.log.append((verb, stream.handle))

    def array(self, address: int, side: str, size: int) -> np.ndarray:
        """Memory of exactly `size` bytes at an address, uint8."""
        if address in self.freed:
            raise Misuse(f"use after free: {side} memory at {address:#x}")
        found, memory = self.memory.get(address, (None, None))
        if found != side or memory is None:
            raise Misuse(f"no {side} memory at {address:#x}")
        if memory.size != size:
            raise Misuse(f"wrong size: {size} bytes of a buffer of {memory.size}")
        return memory

    # What the binding offers.

    def cudaGetErrorString(self, error):
        return OK, f"fake {error.name.removeprefix('cudaError')}".encode()

    def cudaGetDeviceCount(self):
        return self._answer("cudaGetDeviceCount", lambda: 1)

    def cudaDeviceGetAttribute(self, attr, device):
        return self._answer("cudaDeviceGetAttribute", lambda: self.attributes[attr])

    def cudaGetDeviceProperties(self, device):
        return OK, SimpleNamespace(name=self.name.encode() + b"\0\0")

    def cudaDriverGetVersion(self):
        return OK, 12060

    def cudaRuntimeGetVersion(self):
        return OK, 12060

    def cudaMalloc(self, size):
        return self._answer("cudaMalloc", lambda: self._allocate("device", size))

    def cudaHostAlloc(self, size, flags):
        return self._answer("cudaHostAlloc", lambda: self._allocate("host", size))

    def cudaFree(self, devPtr):
        return self._free(devPtr, "device")

    def cudaFreeHost(self, ptr):
        return self._free(ptr, "host")

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        def enqueue():
            sides = ("device", "host")
            target, source = sides if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else sides[::-1]
            to, of = self.array(int(dst), target, count), self.array(int(src), source, count)
            if target == "host" and self._stream(stream).capturing is None:
                to[...] = POISON
            verb = "upload" if target == "device" else "download"
            self.put(stream, verb, lambda: np.copyto(to, of), (int(dst), int(src)))

        return self._answer("cudaMemcpyAsync", enqueue)

    def cudaStreamCreateWithFlags(self, flags):
        stream = Stream(1000 + len(self.streams))
        self.streams[stream.handle] = stream
        return OK, stream

    def cudaStreamDestroy(self, stream):
        found = self._stream(stream)
        if found.pending:
            raise Misuse("a stream was given back while work waits on it")
        found.is_open = False
        return (OK,)

    def cudaStreamSynchronize(self, stream):
        found = self._stream(stream)
        if found.capturing is not None:
            found.capturing = None
            return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
        status = self.statuses.get("cudaStreamSynchronize", OK)
        pending, found.pending = found.pending, []
        self.log.append(("synchronise", found.handle))
        if status is OK:
            for _, work, addresses in pending:
                self._check_live(addresses)
                work()
        return (status,)

    def cudaStreamBeginCapture(self, stream, mode):
        def begin():
            self._stream(stream).capturing = []

        return self._answer("cudaStreamBeginCapture", begin)

    def cudaStreamEndCapture(self, stream):
        found = self._stream(stream)
        work, found.capturing = found.capturing, None
        if work is None:
            return cudaError_t.cudaErrorStreamCaptureInvalidated, None
        return OK, self._graph(work)

    def cudaGraphInstantiate(self, graph, flags):
        return self._answer("cudaGraphInstantiate", lambda: self._graph(graph.work))

    def cudaGraphDestroy(self, graph):
        return self._destroy(graph)

    def cudaGraphExecDestroy(self, graphExec):
        return self._destroy(graphExec)

    def cudaGraphLaunch(self, graphExec, stream):
        if not graphExec.is_open:
            raise Misuse("use after free: a graph")

        def launch():
            self.log.append(("launch", self._stream(stream).handle))
            for verb, work, addresses in graphExec.work:
                self._check_live(addresses)
                if verb == "download":
                    self.memory[addresses[0]][1][...] = POISON
                self._stream(stream).pending.append((verb, work, addresses))

        return self._answer("cudaGraphLaunch", launch)

    def _answer(self, name: str, work):
        status = self.statuses.get(name, OK)
        if status is not OK:
            return status, None
        return OK, work()

    def _allocate(self, side: str, size: int) -> int:
        memory = np.full(size, POISON, np.uint8)
        self.memory[memory.ctypes.data] = (side, memory)
        self.freed.pop(memory.ctypes.data, None)
        return memory.ctypes.data

    def _free(self, address, side: str):
        address = int(address)
        if address in self.freed:
            raise Misuse(f"double free: {side} memory at {address:#x}")
        if self.memory.get(address, (None,))[0] != side:
            raise Misuse(f"free of what is no {side} memory")
        for stream in self.streams.values():
            if any(address in addresses for _, _, addresses in stream.pending):
                raise Misuse(f"missing synchronisation: {side} memory freed while work needs it")
        _, memory = self.memory.pop(address)
        memory[...] = POISON
        # Kept, so that a view of it reads nonsense instead of crashing the tests.
        self.freed[address] = memory
        return (OK,)

    def _check_live(self, addresses: tuple[int, ...]) -> None:
        for address in addresses:
            if address not in self.memory:
                raise Misuse(f"use after free: memory at {address:#x}")

    def _stream(self, handle) -> Stream:
        stream = self.streams.get(int(handle))
        if stream is None or not stream.is_open:
            raise Misuse("no such stream, or it was given back")
        return stream

    def _graph(self, work: list) -> Graph:
        self.graphs.append(Graph(work))
        return self.graphs[-1]

    def _destroy(self, graph: Graph):
        if not graph.is_open:
            raise Misuse("double free: a graph")
        graph.is_open = False
        return (OK,)
