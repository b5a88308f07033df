"""TensorRT 10.3 and later, and TensorRT for RTX: a compiled engine with static shapes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.engines.cache_trust import REBUILD
from edge.engines.cuda.protocol import Buffer, Captured, Cuda
from edge.engines.protocol import Arrays, Engine, EngineInfo, check_inputs
from edge.engines.tensorrt.engine_file import PRODUCTS, check_engine, read_engine_file
from edge.engines.tensorrt.library import Library
from edge.errors import EngineLoadError, InferenceError


class TensorRTEngine(Engine):
    """An engine with one context and one stream. All memory is allocated on loading.

    `run` is `start` and `finish`. Two engines started one after the other overlap on the GPU.

    Args:
        path: the engine; the side file next to it is verified first.
        graph: the bundle's graph of this role; its tensors must be the engine's.
        library: TensorRT.
        cuda: the binding.
        use_cuda_graph: launch copies and kernels as one CUDA graph; on small networks, single
            launches cost time.

    Raises:
        EngineLoadError: the engine is not whole, not built by this library or for this device, has
            other tensors, or the GPU has no room for it.
    """

    def __init__(
        self,
        path: Path,
        graph: GraphFile,
        library: Library,
        cuda: Cuda,
        *,
        use_cuda_graph: bool = True,
    ):
        side, gpu = read_engine_file(path), cuda.gpu()
        check_engine(path, side, library.product, library.version, gpu)
        precision, key = side.graph.precision, side.key[:12]
        self.info = EngineInfo(library.product, library.version, precision, str(gpu), 0, key)
        self._library, self._cuda = library, cuda
        self._inputs = {spec.name: spec for spec in graph.inputs}
        self._outputs = {spec.name: spec for spec in graph.outputs}
        self._results = {n: np.zeros(s.shape, s.dtype) for n, s in self._outputs.items()}
        self._buffers: dict[str, Buffer] = {}
        self._views: dict[str, NDArray[Any]] = {}
        self._captured: Captured | None = None
        self._is_running = False
        # Later resources may use earlier ones, so they are freed in reverse.
        self._made = ExitStack()
        self._context: Any = None
        with ExitStack() as undo:
            undo.callback(self.close)
            self._load(path, use_cuda_graph)
            undo.pop_all()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the engine once; see `Engine.run`."""
        self.start(inputs)
        return self.finish()

    def start(self, inputs: Arrays) -> None:
        """Put a run on the stream and return at once.

        Raises:
            InferenceError: wrong tensors, a run not finished, or a failure of CUDA or TensorRT.
        """
        if self._context is None:
            raise InferenceError("engine: run after close")
        if self._is_running:
            raise InferenceError("engine: started again before the run before was finished")
        check_inputs(self._inputs, inputs)
        for name, array in inputs.items():
            np.copyto(self._views[name], array)
        self._is_running = True
        try:
            if self._captured is not None:
                self._captured.launch()
            else:
                self._enqueue()
        except InferenceError:
            self._settle()
            raise

    def finish(self) -> dict[str, NDArray[Any]]:
        """Wait for the run and return its outputs, the engine's own arrays until the next one.

        Raises:
            InferenceError: nothing was started, or the run failed on the GPU.
        """
        if not self._is_running:
            raise InferenceError("engine: finish without start")
        try:
            self._cuda.synchronise(self._stream)
        finally:
            self._is_running = False
        # Page-locked memory goes with the engine; what callers hold must not.
        for name, result in self._results.items():
            np.copyto(result, self._views[name])
        return self._results

    def close(self) -> None:
        """Wait for a run that was started, then free everything; idempotent."""
        if self._is_running:
            self._settle()
        self._made.close()

    def _load(self, path: Path, use_cuda_graph: bool) -> None:
        trt, cuda = self._library.trt, self._cuda
        # TensorRT's objects are freed with their last reference, inner ones first.
        self._made.callback(self._forget)
        self._runtime = trt.Runtime(self._library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            self._refuse(path, "cannot load it")
        self._check_tensors(path)
        self._stream = cuda.open_stream()
        self._made.callback(cuda.close_stream, self._stream)
        for name, spec in {**self._inputs, **self._outputs}.items():
            self._allocate(name, spec)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            self._refuse(path, "has no memory to run it")
        for name, buffer in self._buffers.items():
            if not self._context.set_tensor_address(name, buffer.device):
                self._refuse(path, f'does not take an address for "{name}"')
        try:
            self._warm_up(use_cuda_graph)
        except InferenceError as error:
            raise EngineLoadError(f"{path}: the first run failed: {error}") from error

    def _allocate(self, name: str, spec: TensorSpec) -> None:
        dtype = np.dtype(spec.dtype)
        buffer = self._cuda.allocate(int(np.prod(spec.shape)) * dtype.itemsize)
        self._made.callback(self._cuda.free, buffer)
        self._buffers[name] = buffer
        self._views[name] = buffer.host.view(dtype).reshape(spec.shape)
        self._views[name][...] = 0

    def _warm_up(self, use_cuda_graph: bool) -> None:
        """Run once without a CUDA graph, which a capture needs, and once more as frames run."""
        self._run_once(self._enqueue)
        if not use_cuda_graph:
            return
        self._captured = self._cuda.capture(self._stream, self._enqueue)
        if self._captured is None:
            self._run_once(self._enqueue)
            return
        self._made.callback(self._captured.close)
        self._run_once(self._captured.launch)

    def _run_once(self, work: Callable[[], None]) -> None:
        self._is_running = True
        work()
        self._cuda.synchronise(self._stream)
        self._is_running = False

    def _enqueue(self) -> None:
        """Enqueue the copies to the device, the kernels and the copies back."""
        for name in self._inputs:
            self._cuda.copy(self._buffers[name], "device", self._stream)
        if not self._context.execute_async_v3(self._cuda.handle(self._stream)):
            raise InferenceError(f"engine: TensorRT failed: {self._library.why()}")
        for name in self._outputs:
            self._cuda.copy(self._buffers[name], "host", self._stream)

    def _settle(self) -> None:
        """Wait for the stream: its memory must not be written or freed before."""
        with suppress(InferenceError):
            self._cuda.synchronise(self._stream)
        self._is_running = False

    def _forget(self) -> None:
        self._context = self._engine = self._runtime = self._captured = None
        self._buffers.clear()
        self._views.clear()

    def _check_tensors(self, path: Path) -> None:
        trt, engine = self._library.trt, self._engine
        found: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
            found["inputs" if is_input else "outputs"][name] = (
                tuple(engine.get_tensor_shape(name)),
                dtype,
            )
        for kind, specs in (("inputs", self._inputs), ("outputs", self._outputs)):
            wanted = {name: (spec.shape, spec.dtype) for name, spec in specs.items()}
            if found[kind] != wanted:
                raise EngineLoadError(
                    f"{path}: expected {kind} {wanted} by bundle.json, got {found[kind]}; {REBUILD}"
                )

    def _refuse(self, path: Path, what: str) -> None:
        library = self._library
        name = f"{PRODUCTS[library.product]} {library.version}"
        raise EngineLoadError(f"{path}: {name} {what}: {library.why()}; {REBUILD}")
