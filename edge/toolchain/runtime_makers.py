"""Runtimes that compile while they load: OpenVINO, and ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.engines.onnx_gpu_engine import OnnxGpuEngine
from edge.engines.onnx_providers import Provider, gpu_name, session_providers
from edge.engines.openvino_engine import OpenVinoEngine, arithmetic_of, openvino_version
from edge.engines.protocol import Engine
from edge.engines.proven import EnginePart, cpu_name
from edge.toolchain.rungs import Rung
from edge.toolchain.tensorrt.graphs import Source, cpu_graph, tensorrt_graph


class OpenVinoMaker:
    """OpenVINO on the CPU: takes the bundle's graphs as they are; bf16 is how it computes FP32."""

    def source(self, bundle: Bundle, graph: GraphFile, rung: Rung, scratch: Path) -> Source:  # noqa: ARG002
        """Return a graph of the bundle; see cpu_graph."""
        return cpu_graph(bundle, graph, "fp32" if rung.precision == "bf16" else rung.precision)

    def key(self, source: Source, rung: Rung) -> str:  # noqa: ARG002
        """Return graph, release and processor."""
        return f"{source.sha256} openvino {openvino_version()} {cpu_name()}"

    def make(self, source: Source, rung: Rung, folder: Path) -> EnginePart:  # noqa: ARG002
        """Nothing to compile: the part is the graph in the bundle."""
        return EnginePart(file=source.graph.file, sha256=source.sha256)

    def load(self, source: Source, rung: Rung, part: EnginePart, folder: Path) -> Engine:  # noqa: ARG002
        """Load the graph."""
        arithmetic = arithmetic_of(rung.precision)
        return OpenVinoEngine(source.path, source.graph, arithmetic=arithmetic)


@dataclass(frozen=True, slots=True)
class OnnxGpuMaker:
    """ONNX Runtime on an NVIDIA GPU: takes the graphs that TensorRT takes.

    Attributes:
        provider: which of its providers.
        device: name of the GPU.
    """

    provider: Provider
    device: str

    def source(self, bundle: Bundle, graph: GraphFile, rung: Rung, scratch: Path) -> Source:
        """Return the graph whose types say the precision; see tensorrt_graph."""
        return tensorrt_graph(bundle, graph, rung.precision, scratch)

    def key(self, source: Source, rung: Rung) -> str:
        """Return graph, release, provider and GPU."""
        return f"{source.sha256} {rung.backend} {onnxruntime.__version__} {self.device}"

    def make(self, source: Source, rung: Rung, folder: Path) -> EnginePart:  # noqa: ARG002
        """Keep the graph beside its record: the bundle may not hold it in this precision."""
        kept = folder / f"{source.graph.role}.onnx"
        shutil.copyfile(source.path, kept)
        return EnginePart(file=kept.name, sha256=source.sha256)

    def load(self, source: Source, rung: Rung, part: EnginePart, folder: Path) -> Engine:  # noqa: ARG002
        """Load the graph; what the provider compiles is kept in `folder`."""
        return OnnxGpuEngine(folder / part.file, source.graph, self.provider, folder)


def onnx_gpu_maker(provider: Provider) -> OnnxGpuMaker:
    """Return the maker, after proving that provider and GPU are here.

    Raises:
        EngineLoadError: they are not.
    """
    session_providers(provider, None)
    return OnnxGpuMaker(provider, gpu_name())
