"""Runtimes that compile while they load: OpenVINO, and ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.engines.onnx.gpu_engine import OnnxGpuEngine
from edge.engines.onnx.library import Provider, gpu_name, session_providers
from edge.engines.openvino.engine import OpenVinoEngine, arithmetic_of
from edge.engines.openvino.library import openvino_version
from edge.engines.protocol import Engine
from edge.engines.verified import EnginePart, cpu_name
from edge.toolchain.engine_build.source_graphs import Source, cpu_graph, tensorrt_graph
from edge.toolchain.engine_build.variants import EngineVariant


class OpenVinoBackend:
    """OpenVINO on the CPU: takes the bundle's graphs as they are; bf16 computes FP32 graphs."""

    def source(
        self,
        bundle: Bundle,
        graph: GraphFile,
        variant: EngineVariant,
        scratch: Path,
    ) -> Source:
        """Return a graph of the bundle; see cpu_graph."""
        return cpu_graph(
            bundle, graph, "fp32" if variant.precision == "bf16" else variant.precision
        )

    def key(self, source: Source, variant: EngineVariant) -> str:
        """Return graph, release and processor."""
        return f"{source.sha256} openvino {openvino_version()} {cpu_name()}"

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
        arithmetic = arithmetic_of(variant.precision)
        return OpenVinoEngine(source.path, source.graph, arithmetic=arithmetic)


@dataclass(frozen=True, slots=True)
class OnnxGpuBackend:
    """ONNX Runtime on an NVIDIA GPU: takes the graphs that TensorRT takes.

    Attributes:
        provider: which of its providers.
        device: name of the GPU.
    """

    provider: Provider
    device: str

    def source(
        self, bundle: Bundle, graph: GraphFile, variant: EngineVariant, scratch: Path
    ) -> Source:
        """Return the graph in the variant's precision; see tensorrt_graph."""
        return tensorrt_graph(bundle, graph, variant.precision, scratch)

    def key(self, source: Source, variant: EngineVariant) -> str:
        """Return graph, release, provider and GPU."""
        return f"{source.sha256} {variant.backend} {onnxruntime.__version__} {self.device}"

    def make(self, source: Source, variant: EngineVariant, folder: Path) -> EnginePart:
        """Keep the graph beside its record: the bundle may not hold it in this precision."""
        kept = folder / f"{source.graph.role}.onnx"
        shutil.copyfile(source.path, kept)
        return EnginePart(file=kept.name, sha256=source.sha256)

    def load(
        self,
        source: Source,
        variant: EngineVariant,
        part: EnginePart,
        folder: Path,
    ) -> Engine:
        """Load the graph; what the provider compiles is kept in `folder`."""
        return OnnxGpuEngine(folder / part.file, source.graph, self.provider, folder)


def onnx_gpu_backend(provider: Provider) -> OnnxGpuBackend:
    """Return the backend, after checking that provider and GPU exist.

    Raises:
        EngineLoadError: they are not.
    """
    session_providers(provider, None)
    return OnnxGpuBackend(provider, gpu_name())
