"""Build an engine in a child process with a memory limit, and write its side file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from edge import __version__
from edge.bundle.manifest import GraphFile
from edge.bundle.store import sha256
from edge.engines.cuda.gpu import Gpu
from edge.engines.tensorrt.engine_file import (
    BuildOptions,
    EngineFile,
    Product,
    engine_key,
    side_path,
)
from edge.errors import EngineBuildError
from edge.toolchain.engine_build.disk import SPARE_BYTES, check_disk, write_whole
from edge.toolchain.engine_build.tensorrt.compile import Job, Report

WATCH_S = 0.1


def build_engine(
    onnx: Path,
    graph: GraphFile,
    engine: Path,
    product: Product,
    version: str,
    gpu: Gpu | None,
    options: BuildOptions,
    *,
    memory_bytes: int | None = None,
    timing_cache: Path | None = None,
    report: Report | None = None,
) -> EngineFile:
    """Compile `onnx` into `engine` with its side file; on failure neither is left.

    Args:
        onnx: the file.
        graph: its description, with the precision of its types.
        engine: path to write; outside the folder of a station, since it is not verified yet.
        product: library that builds.
        version: of that library.
        gpu: this device; None for TensorRT for RTX without a GPU.
        options: of the builder.
        memory_bytes: resident memory at which the build is stopped; None: no limit.
        timing_cache: kept between builds of one device and release.
        report: gets the phase and a share 0..1.

    Raises:
        EngineBuildError: the graph is refused, memory or disk do not suffice, or the build crashed.
    """
    check_disk(engine.parent, 2 * onnx.stat().st_size + SPARE_BYTES)
    job = Job(onnx=onnx, engine=engine, product=product, options=options, timing_cache=timing_cache)
    began = time.monotonic()
    try:
        _run(job, memory_bytes, report or (lambda *_: None))
        graph_sha256 = sha256(onnx)
        side = EngineFile(
            key=engine_key(graph_sha256, graph, product, version, gpu, options),
            graph=graph,
            graph_sha256=graph_sha256,
            product=product,
            version=version,
            gpu=gpu,
            options=options,
            engine_sha256=sha256(engine),
            engine_bytes=engine.stat().st_size,
            build_seconds=round(time.monotonic() - began, 1),
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            created_by=f"edge-inspection {__version__}",
        )
        text = side.model_dump_json(indent=2, by_alias=True) + "\n"
        write_whole(side_path(engine), text.encode())
    except BaseException:
        engine.unlink(missing_ok=True)
        side_path(engine).unlink(missing_ok=True)
        raise
    return side


def _run(job: Job, memory_bytes: int | None, report: Report) -> None:
    command = [
        sys.executable,
        "-m",
        "edge.toolchain.engine_build.tensorrt.compile",
        job.model_dump_json(),
    ]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - our own module
            command, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as child,
    ):
        watch = _Watch(child, memory_bytes)
        try:
            problem = _follow(child, report)
            code = child.wait()
        finally:
            # Ctrl-C or a failing report: nobody waits for the build any more.
            child.kill()
            watch.join()
        if watch.is_over:
            raise EngineBuildError(
                f"{job.onnx.name}: building took more than {(memory_bytes or 0) / 2**20:.0f} MiB "
                "of memory; raise memory.build in the target profile, or stop other programs"
            )
        if code != 0:
            raise EngineBuildError(problem or _crash(job, code, complaints))


def _follow(child: subprocess.Popen[str], report: Report) -> str | None:
    """Pass progress on until the child closes its output; return the error it says, if any."""
    problem = None
    for line in child.stdout or ():
        with suppress(ValueError):
            event = json.loads(line)
            if "error" in event:
                problem = str(event["error"])
            elif "share" in event:
                report(event["phase"], event["share"])
    return problem


def _crash(job: Job, code: int, complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    if code < 0:
        why = f"signal {-code}; the system ends processes so when memory is short"
    else:
        why = lines[-1] if lines else f"exit code {code}"
    return f"{job.onnx.name}: the process that builds it ended: {why}"


class _Watch(threading.Thread):
    """Ends the child when its resident memory passes the limit."""

    def __init__(self, child: subprocess.Popen[str], memory_bytes: int | None):
        super().__init__(name="build-watch", daemon=True)
        self._child, self._limit = child, memory_bytes
        self.is_over = False
        self.start()

    def run(self) -> None:
        while self._limit is not None and self._child.poll() is None:
            if _resident_bytes(self._child.pid) > self._limit:
                self.is_over = True
                self._child.kill()
                return
            time.sleep(WATCH_S)


def _resident_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
