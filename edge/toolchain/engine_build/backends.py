"""Backends: which file each takes for a graph, how it compiles it and how it loads it.

A new backend needs a class here and a line in edge.engines.load.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnxruntime

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.engines.cuda.gpu import Gpu
from edge.engines.cuda.library import Binding, load_cuda
from edge.engines.cuda.protocol import Cuda
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.onnx.library import PROVIDERS
from edge.engines.protocol import Engine
from edge.engines.tensorrt.engine import TensorRTEngine
from edge.engines.tensorrt.engine_file import Product, engine_key
from edge.engines.tensorrt.library import Library, load_library
from edge.engines.verified import EnginePart, cpu_name
from edge.toolchain.engine_build.runtime_backends import OpenVinoBackend, onnx_gpu_backend
from edge.toolchain.engine_build.source_graphs import Source, cpu_graph, tensorrt_graph
from edge.toolchain.engine_build.target_profile import TargetProfile
from edge.toolchain.engine_build.tensorrt.build import build_engine
from edge.toolchain.engine_build.variants import EngineVariant

log = logging.getLogger(__name__)


class EngineBackend(Protocol):
    """One backend on this device."""

    def source(
        self, bundle: Bundle, graph: GraphFile, variant: EngineVariant, scratch: Path
    ) -> Source:
        """Return the file that it takes for the role of an FP32 graph."""
        ...

    def key(self, source: Source, variant: EngineVariant) -> str:
        """Return a text that changes with everything its engine depends on."""
        ...

    def make(self, source: Source, variant: EngineVariant, folder: Path) -> EnginePart:
        """Compile a file into `folder`, if the backend compiles."""
        ...

    def load(
        self, source: Source, variant: EngineVariant, part: EnginePart, folder: Path
    ) -> Engine:
        """Load the engine that `make` built."""
        ...


class OnnxRuntimeBackend:
    """ONNX Runtime on the CPU: takes the bundle's graphs as they are."""

    def source(
        self,
        bundle: Bundle,
        graph: GraphFile,
        variant: EngineVariant,
        scratch: Path,
    ) -> Source:
        """Return a graph of the bundle; see cpu_graph."""
        return cpu_graph(bundle, graph, variant.precision)

    def key(self, source: Source, variant: EngineVariant) -> str:
        """Return graph, release and processor."""
        return f"{source.sha256} onnxruntime {onnxruntime.__version__} {cpu_name()}"

    def make(self, source: Source, variant: EngineVariant, folder: Path) -> EnginePart:
        """Compile nothing: the part is the graph in the bundle."""
        return EnginePart(file=source.graph.file, sha256=source.sha256)

    def load(
        self,
        source: Source,
        variant: EngineVariant,
        part: EnginePart,
        folder: Path,
    ) -> Engine:
        """Load the graph."""
        return OnnxEngine(source.path, source.graph)


@dataclass(frozen=True, slots=True)
class TensorRTBackend:
    """TensorRT, or TensorRT for RTX, on this device.

    Attributes:
        target: its limits and options.
        library, cuda, gpu: of this device.
        cache: folder for timing caches.
    """

    target: TargetProfile
    library: Library
    cuda: Cuda
    gpu: Gpu
    cache: Path

    def source(
        self, bundle: Bundle, graph: GraphFile, variant: EngineVariant, scratch: Path
    ) -> Source:
        """Return the graph in the variant's precision; see tensorrt_graph."""
        return tensorrt_graph(bundle, graph, variant.precision, scratch)

    def key(self, source: Source, variant: EngineVariant) -> str:
        """Return the engine's key."""
        product, version = self.library.product, self.library.version
        options = self.target.options(variant.attention)
        return engine_key(source.sha256, source.graph, product, version, self.gpu, options)

    def make(self, source: Source, variant: EngineVariant, folder: Path) -> EnginePart:
        """Compile in a child process and log its progress."""
        engine = folder / f"{source.graph.role}.engine"
        memory = self.target.memory
        side = build_engine(
            source.path,
            source.graph,
            engine,
            self.library.product,
            self.library.version,
            self.gpu,
            self.target.options(variant.attention),
            memory_bytes=memory.build if memory else None,
            timing_cache=self._timing_cache(),
            report=_Progress(f"{source.graph.role} {variant}"),
        )
        return EnginePart(file=engine.name, sha256=side.engine_sha256)

    def load(
        self,
        source: Source,
        variant: EngineVariant,
        part: EnginePart,
        folder: Path,
    ) -> Engine:
        """Load the engine, warmed up."""
        return TensorRTEngine(folder / part.file, source.graph, self.library, self.cuda)

    def _timing_cache(self) -> Path | None:
        """One file per device and release; TensorRT for RTX picks kernels at run time instead."""
        if self.library.product == "tensorrt_rtx":
            return None
        device = "".join(c if c.isalnum() else "-" for c in self.gpu.name.lower())
        return self.cache / f"timing-{self.library.version}-{device}.cache"


def find_backend(
    name: str, target: TargetProfile, cache: Path, binding: Binding = "auto"
) -> EngineBackend:
    """Return the backend of a target, after checking that this device is of the target's kind.

    Raises:
        EngineLoadError: no TensorRT, CUDA binding, driver, GPU or provider.
        EngineBuildError: another release or GPU than the target's.
    """
    if target.backend == "onnxruntime":
        return OnnxRuntimeBackend()
    if target.backend == "openvino":
        return OpenVinoBackend()
    if target.backend in PROVIDERS:
        return onnx_gpu_backend(PROVIDERS[target.backend])
    product: Product = "tensorrt_rtx" if target.backend == "tensorrt_rtx" else "tensorrt"
    library, cuda = load_library(product), load_cuda(binding)
    gpu = cuda.gpu()
    target.check(name, library.version, gpu)
    return TensorRTBackend(target, library, cuda, gpu, cache)


class _Progress:
    """Logs a build's progress every ten percent."""

    def __init__(self, what: str):
        self._what, self._next = what, 10

    def __call__(self, phase: str, share: float) -> None:
        percent = int(100 * share)
        if percent >= self._next:
            log.info("building engine=%s percent=%d phase=%s", self._what, percent, phase)
            self._next = percent // 10 * 10 + 10
