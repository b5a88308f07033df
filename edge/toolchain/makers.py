"""What each backend does to run a graph: which file it takes, how it is compiled, how it is loaded.

A further backend is one more class here, and one more line in edge.engines.load.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnxruntime

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.engines.cuda import Binding, Cuda, load_cuda
from edge.engines.engine_file import Gpu, Product, engine_key
from edge.engines.onnx_engine import OnnxEngine
from edge.engines.onnx_providers import PROVIDERS
from edge.engines.protocol import Engine
from edge.engines.proven import EnginePart, cpu_name
from edge.engines.tensorrt_engine import TensorRTEngine
from edge.engines.tensorrt_library import Library, load_library
from edge.toolchain.rungs import Rung
from edge.toolchain.runtime_makers import OpenVinoMaker, onnx_gpu_maker
from edge.toolchain.tensorrt.build import build_engine
from edge.toolchain.tensorrt.graphs import Source, cpu_graph, tensorrt_graph
from edge.toolchain.tensorrt.targets import TargetProfile

log = logging.getLogger(__name__)


class Maker(Protocol):
    """One backend on this device."""

    def source(self, bundle: Bundle, graph: GraphFile, rung: Rung, scratch: Path) -> Source:
        """Return the file that it takes for the role of an FP32 graph."""
        ...

    def key(self, source: Source, rung: Rung) -> str:
        """Return text that changes with everything that its engine depends on."""
        ...

    def make(self, source: Source, rung: Rung, folder: Path) -> EnginePart:
        """Compile a file into `folder`, if the backend compiles."""
        ...

    def load(self, source: Source, rung: Rung, part: EnginePart, folder: Path) -> Engine:
        """Load what `make` made."""
        ...


class OnnxRuntimeMaker:
    """ONNX Runtime on the CPU: takes the bundle's graphs as they are."""

    def source(self, bundle: Bundle, graph: GraphFile, rung: Rung, scratch: Path) -> Source:  # noqa: ARG002
        """Return a graph of the bundle; see cpu_graph."""
        return cpu_graph(bundle, graph, rung.precision)

    def key(self, source: Source, rung: Rung) -> str:  # noqa: ARG002
        """Return graph, release and processor."""
        return f"{source.sha256} onnxruntime {onnxruntime.__version__} {cpu_name()}"

    def make(self, source: Source, rung: Rung, folder: Path) -> EnginePart:  # noqa: ARG002
        """Nothing to compile: the part is the graph in the bundle."""
        return EnginePart(file=source.graph.file, sha256=source.sha256)

    def load(self, source: Source, rung: Rung, part: EnginePart, folder: Path) -> Engine:  # noqa: ARG002
        """Load the graph."""
        return OnnxEngine(source.path, source.graph)


@dataclass(frozen=True, slots=True)
class TensorRTMaker:
    """TensorRT, or TensorRT for RTX, on this device.

    Attributes:
        target: its limits and options.
        library, cuda, gpu: what is here.
        cache: folder for timing caches.
    """

    target: TargetProfile
    library: Library
    cuda: Cuda
    gpu: Gpu
    cache: Path

    def source(self, bundle: Bundle, graph: GraphFile, rung: Rung, scratch: Path) -> Source:
        """Return the graph whose types say the precision; see tensorrt_graph."""
        return tensorrt_graph(bundle, graph, rung.precision, scratch)

    def key(self, source: Source, rung: Rung) -> str:
        """Return the engine's key."""
        product, version = self.library.product, self.library.version
        options = self.target.options(rung.attention)
        return engine_key(source.sha256, source.graph, product, version, self.gpu, options)

    def make(self, source: Source, rung: Rung, folder: Path) -> EnginePart:
        """Compile in a child process, and log how far it is."""
        engine = folder / f"{source.graph.role}.engine"
        memory = self.target.memory
        side = build_engine(
            source.path,
            source.graph,
            engine,
            self.library.product,
            self.library.version,
            self.gpu,
            self.target.options(rung.attention),
            memory_bytes=memory.build if memory else None,
            timing_cache=self._timing_cache(),
            report=_Progress(f"{source.graph.role} {rung}"),
        )
        return EnginePart(file=engine.name, sha256=side.engine_sha256)

    def load(self, source: Source, rung: Rung, part: EnginePart, folder: Path) -> Engine:  # noqa: ARG002
        """Load the engine, warmed up."""
        return TensorRTEngine(folder / part.file, source.graph, self.library, self.cuda)

    def _timing_cache(self) -> Path | None:
        """One per device and release; TensorRT for RTX chooses its kernels when they first run."""
        if self.library.product == "tensorrt_rtx":
            return None
        device = "".join(c if c.isalnum() else "-" for c in self.gpu.name.lower())
        return self.cache / f"timing-{self.library.version}-{device}.cache"


def find_maker(name: str, target: TargetProfile, cache: Path, binding: Binding = "auto") -> Maker:
    """Return the maker of a target, after proving that this device is of the target's kind.

    Raises:
        EngineLoadError: no TensorRT, CUDA binding, driver, GPU or provider.
        EngineBuildError: another release or GPU than the target's.
    """
    if target.backend == "onnxruntime":
        return OnnxRuntimeMaker()
    if target.backend == "openvino":
        return OpenVinoMaker()
    if target.backend in PROVIDERS:
        return onnx_gpu_maker(PROVIDERS[target.backend])
    product: Product = "tensorrt_rtx" if target.backend == "tensorrt_rtx" else "tensorrt"
    library, cuda = load_library(product), load_cuda(binding)
    gpu = cuda.gpu()
    target.check(name, library.version, gpu)
    return TensorRTMaker(target, library, cuda, gpu, cache)


class _Progress:
    """Logs a build's progress every ten percent."""

    def __init__(self, what: str):
        self._what, self._next = what, 10

    def __call__(self, phase: str, share: float) -> None:
        percent = int(100 * share)
        if percent >= self._next:
            log.info("building engine=%s percent=%d phase=%s", self._what, percent, phase)
            self._next = percent // 10 * 10 + 10
