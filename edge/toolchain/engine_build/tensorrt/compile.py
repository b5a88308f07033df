"""The process that compiles one engine: python -m edge.toolchain.engine_build.tensorrt.compile JOB.

It is a process of its own, so that a build that crashes or takes too much memory ends alone. It
reports its progress as JSON lines on standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.config.reader import Settings
from edge.engines.tensorrt.engine_file import PRODUCTS, BuildOptions, Product
from edge.engines.tensorrt.library import Library, load_library
from edge.errors import EdgeError, EngineBuildError
from edge.toolchain.engine_build.disk import write_whole
from edge.toolchain.engine_build.tensorrt.network import keep_attention_apart, make_network

Report = Callable[[str, float], None]


class Job(Settings):
    """What to compile; `timing_cache` is read if it exists, and renewed."""

    onnx: Path
    engine: Path
    product: Product
    options: BuildOptions
    timing_cache: Path | None = None


def compile_engine(job: Job, report: Report) -> None:
    """Compile `job.onnx` into `job.engine`.

    Raises:
        EngineLoadError: TensorRT is not installed.
        EngineBuildError: it refuses the graph, or the engine cannot be written.
    """
    library = load_library(job.product)
    trt = library.trt
    name = f"{PRODUCTS[job.product]} {library.version}"
    try:
        builder = trt.Builder(library.logger)
    except (TypeError, RuntimeError) as error:
        # Without a GPU its constructor returns nothing, which the binding says as a TypeError.
        raise EngineBuildError(f"{name}: no builder: {library.why()}") from error
    network, parser = make_network(library, builder, job.onnx)
    if job.options.attention == "apart" and not keep_attention_apart(trt, network):
        raise EngineBuildError(f"{job.onnx.name}: has no attention that could be kept apart")
    config = configure(library, builder, job.options)
    config.progress_monitor = progress_monitor(trt, report)
    if job.timing_cache is not None:
        _use_timing_cache(config, job.timing_cache)
    library.problems.clear()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineBuildError(f"{job.onnx.name}: {name} cannot build it: {library.why()}")
    del parser
    write_whole(job.engine, plan)
    if job.timing_cache is not None:
        _keep_timing_cache(config, job.timing_cache)


def configure(library: Library, builder: Any, options: BuildOptions) -> Any:
    """Make a builder configuration; precision is the graph's alone, so that FP32 is not TF32."""
    trt = library.trt
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    config.builder_optimization_level = options.optimization_level
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.compute_capabilities:
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, capability in enumerate(options.compute_capabilities):
            member = getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}", None)
            if member is None:
                name = f"{PRODUCTS[library.product]} {library.version}"
                raise EngineBuildError(f"{name}: knows no compute capability {capability}")
            config.set_compute_capability(member, index)
    return config


def progress_monitor(trt: Any, report: Report) -> Any:
    """Make TensorRT's progress monitor; `report` gets a phase and a share 0..1."""

    # Its base class exists only now that the module is loaded.
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, tuple[str | None, int, int]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = (parent_phase, max(num_steps, 1), 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._phases:
                parent, steps, _ = self._phases[phase_name]
                self._phases[phase_name] = (parent, steps, step + 1)
                report(phase_name, self._share(phase_name))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

        def _share(self, phase: str | None) -> float:
            """Progress of the outermost phase, 0..1; inner phases are part of its steps."""
            share, phases = 0.0, dict(self._phases)
            while phase is not None and phase in phases:
                phase, steps, done = phases.pop(phase)
                share = min((done + share) / steps, 1.0)
            return share

    return Monitor()


def _use_timing_cache(config: Any, path: Path) -> None:
    """Start from earlier measurements; a cache of another device or release is not used."""
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _keep_timing_cache(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        write_whole(path, cache.serialize())


def _say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main() -> None:
    """Entry point: exit code 0, or 1 after an event with the error."""
    job = Job.model_validate_json(sys.argv[1])
    try:
        compile_engine(job, lambda phase, share: _say(phase=phase, share=share))
    except EdgeError as error:
        _say(error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
