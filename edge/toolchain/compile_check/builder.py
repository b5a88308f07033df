"""Compile ONNX graphs with TensorRT for RTX: parser and builder run without GPU and driver.

It uses the code of a build for a device. docs/engines.md says what a pass proves and what not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from edge.engines.tensorrt.engine_file import BuildOptions
from edge.engines.tensorrt.library import Library, load_library
from edge.errors import EngineBuildError
from edge.toolchain.compile_check.layer_report import EngineLayer, read_report
from edge.toolchain.engine_build.tensorrt.compile import configure
from edge.toolchain.engine_build.tensorrt.network import make_network

# Turing has no FP32 products in this builder, and our graphs score in FP32 in every precision.
UNSUPPORTED = "7.5"


@dataclass(frozen=True, slots=True)
class Compiled:
    """Result of a compilation; the engine itself is not kept.

    Attributes:
        size_bytes: of the engine.
        seconds: spent parsing and building.
        layers: of the engine, by the builder's report.
    """

    size_bytes: int
    seconds: float
    layers: tuple[EngineLayer, ...]


def version() -> str:
    """Version of the installed TensorRT for RTX."""
    return load_library("tensorrt_rtx").version


def capabilities() -> tuple[str, ...]:
    """Compute capabilities that the builder knows and our graphs support, such as 8.6."""
    members = load_library("tensorrt_rtx").trt.ComputeCapability.__members__
    digits = [name.removeprefix("SM") for name in members if name.startswith("SM")]
    known = (f"{number[:-1]}.{number[-1]}" for number in digits)
    return tuple(number for number in known if number != UNSUPPORTED)


def compile_graph(path: Path, devices: tuple[str, ...] | None = None) -> Compiled:
    """Parse and build one ONNX file for all `devices` at once; None means `capabilities()`.

    Raises:
        EngineLoadError: TensorRT for RTX is not installed.
        EngineBuildError: parser or builder refuse the graph; the message has the first reason.
    """
    library, messages = _library()
    messages.clear()
    library.problems.clear()
    start = time.perf_counter()
    builder = library.trt.Builder(library.logger)
    # The parser owns the weights until the engine is built.
    network, parser = make_network(library, builder, path)
    options = BuildOptions(compute_capabilities=devices or capabilities())
    config = configure(library, builder, options)
    config.profiling_verbosity = library.trt.ProfilingVerbosity.DETAILED
    library.problems.clear()
    plan = builder.build_serialized_network(network, config)
    del parser
    if plan is None:
        raise EngineBuildError(
            f"{path.name}: TensorRT for RTX {library.version} cannot build it: {library.why()}"
        )
    return Compiled(plan.nbytes, time.perf_counter() - start, read_report(messages))


@cache
def _library() -> tuple[Library, list[str]]:
    """Return the library with a logger that keeps all messages, the layer report among them."""
    library = load_library("tensorrt_rtx")
    messages: list[str] = []
    quiet = library.logger

    # Its base class exists only now that the module is loaded.
    class Listener(library.trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            library.trt.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            messages.append(text)
            quiet.log(level, text)

    return replace(library, logger=Listener()), messages
