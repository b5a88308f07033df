"""What this machine has, and what is missing for inspection."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge import __version__
from edge.bundle.store import open_bundle
from edge.config.mqtt import MqttSettings
from edge.config.station import EngineSettings
from edge.engines.load import load_engine, load_types_engine
from edge.errors import EdgeError
from edge.mqtt.link import Link
from edge.printable_text import escaped
from edge.state_folder import find_problem
from edge.station.commands.audit_check import audit_problems
from edge.station.commands.audit_file import audit_logs, read_anchor

PYTHONS = ((3, 10), (3, 13))
LOW_DISK_BYTES = 2**30
MOST_PROBLEMS = 10
# module, distributions that provide it, what it is for, whether the line cannot run without it
LIBRARIES = (
    ("numpy", ("numpy",), "arrays", True),
    ("cv2", ("opencv-python-headless", "opencv-python"), "cameras and pictures", True),
    ("paho.mqtt", ("paho-mqtt",), "MQTT", True),
    ("onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "CPU engine", True),
    ("tensorrt", ("tensorrt",), "NVIDIA engine", False),
    ("cuda.bindings", ("cuda-bindings",), "NVIDIA engine", False),
    ("openvino", ("openvino",), "Intel engine", False),
    ("amqtt", ("amqtt",), "embedded broker (demo)", False),
    ("torch", ("torch",), "training", False),
)
HINTS = {
    "cv2": "pip install 'edge-inspection[cpu]'; on a Jetson it comes with JetPack",
    "onnxruntime": "pip install 'edge-inspection[cpu]'",
    "tensorrt": "comes with JetPack or the TensorRT packages",
    "openvino": "pip install 'edge-inspection[openvino]'",
    "amqtt": "pip install 'edge-inspection[demo]'",
    "torch": "pip install 'edge-inspection[train]'",
}
Level = Literal["ok", "absent", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `absent` is fine unless it is wanted, a `problem` is not."""

    subject: str
    level: Level
    detail: str


def examine(
    state_dir: Path, bundle: Path | None = None, broker: MqttSettings | None = None
) -> Iterator[Finding]:
    """Look at everything in turn; never raises."""
    yield _python()
    yield Finding("edge-inspection", "ok", f"{__version__} on {platform.platform()}")
    for module, distributions, purpose, is_needed in LIBRARIES:
        yield _library(module, distributions, purpose, is_needed)
    yield _gpu()
    yield from _cameras()
    yield _state(state_dir)
    yield from _audit_logs(state_dir)
    yield _clock()
    if broker is not None:
        yield _broker(broker)
    if bundle is not None:
        yield _bundle(bundle)


def _python() -> Finding:
    version = platform.python_version_tuple()
    number = (int(version[0]), int(version[1]))
    low, high = PYTHONS
    if low <= number <= high:
        return Finding("python", "ok", platform.python_version())
    return Finding("python", "problem", f"{platform.python_version()}; expected 3.10 to 3.13")


def _library(module: str, distributions: tuple[str, ...], purpose: str, is_needed: bool) -> Finding:
    version = None
    for name in distributions:
        with suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
    try:
        # torch takes seconds to import; its version says enough.
        if module != "torch" or version is None:
            version = version or getattr(importlib.import_module(module), "__version__", "found")
            importlib.import_module(module)
    except ImportError as error:
        hint = HINTS.get(module, "pip install edge-inspection again")
        if version is None and not isinstance(error, ModuleNotFoundError):
            return Finding(module, "problem", f"does not load: {error}")
        return Finding(module, "problem" if is_needed else "absent", f"for {purpose}; {hint}")
    return Finding(module, "ok", f"{version} ({purpose})")


def _gpu() -> Finding:
    model = Path("/proc/device-tree/model")
    if model.is_file():
        return Finding("device", "ok", model.read_text(errors="replace").strip("\0\n "))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "absent", "no NVIDIA driver; the CPU engine will run")
    query = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [tool, *query], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("GPU", "problem", f"nvidia-smi fails: {error}")
    return Finding("GPU", "ok", done.stdout.strip().replace("\n", "; "))


def _cameras() -> Iterator[Finding]:
    stable = sorted(Path("/dev/v4l/by-id").glob("*")) if Path("/dev/v4l/by-id").is_dir() else []
    nodes = sorted(Path("/dev").glob("video*"))
    for path in stable or nodes:
        is_readable = os.access(path, os.R_OK | os.W_OK)
        detail = f"v4l2://{path}" if is_readable else "no permission; add the user to group video"
        yield Finding("camera", "ok" if is_readable else "problem", detail)
    if not nodes:
        yield Finding(
            "camera", "absent", "no /dev/video*; edge-doctor cameras searches all drivers"
        )


def _state(folder: Path) -> Finding:
    subject = "state directory"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = find_problem(folder)
        if problem is not None:
            return Finding(subject, "problem", f"{folder}: {problem}")
        # A name of its own: never one that leads elsewhere.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(subject, "problem", f"{folder}: {error.strerror}; use --state-dir")
    level: Level = "ok" if free > LOW_DISK_BYTES else "problem"
    return Finding(subject, level, f"{folder}, {free / 2**30:.1f} GiB free")


def _audit_logs(folder: Path) -> Iterator[Finding]:
    """Check the audit log of every station that has its state in `folder`."""
    for path in audit_logs(folder):
        try:
            problems = audit_problems(path)
        except OSError as error:
            problems = [f"cannot be read: {error.strerror}"]
        for problem in problems[:MOST_PROBLEMS]:
            yield Finding("audit log", "problem", f"{path}: {escaped(problem)}")
        if len(problems) > MOST_PROBLEMS:
            more = f"{len(problems) - MOST_PROBLEMS} more places"
            yield Finding("audit log", "problem", f"{path}: {more}")
        if not problems:
            anchor = read_anchor(path)
            count = anchor.count if anchor else 0
            yield Finding("audit log", "ok", f"{path}, {count} records, whole")


def _clock() -> Finding:
    tool = shutil.which("timedatectl")
    if tool is not None:
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(  # noqa: S603 - a fixed command
                [tool, "show", "-p", "NTPSynchronized", "--value"],
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
            )
            if done.stdout.strip() == "yes":
                return Finding("clock", "ok", "synchronised")
            return Finding("clock", "problem", "not synchronised; results carry wrong times")
    return Finding("clock", "absent", "no timedatectl; cannot tell whether it is synchronised")


def _broker(settings: MqttSettings) -> Finding:
    link = Link(settings, f"edge-doctor-{socket.gethostname()}-{os.getpid()}", resume=False)
    try:
        link.connect(timeout_s=5.0)
    except EdgeError as error:
        return Finding("broker", "problem", str(error))
    finally:
        link.close()
    return Finding("broker", "ok", f"{link.address} speaks MQTT {link.protocol}")


def _bundle(folder: Path) -> Finding:
    try:
        bundle = open_bundle(folder)
        settings = EngineSettings()
        with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings):
            info = engine.info
    except EdgeError as error:
        return Finding("bundle", "problem", str(error))
    manifest = bundle.manifest
    detail = f"{manifest.name} {manifest.version} ({bundle.id[:12]}) loads on {info.backend}"
    return Finding("bundle", "ok", f"{detail} {info.version}")
