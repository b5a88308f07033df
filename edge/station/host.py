"""Figures of this machine and this process for the health message, and software versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "paho-mqtt")


def host_numbers(state_dir: Path) -> dict[str, Any]:
    """Return what is known of memory, disk, load and temperature.

    Keys, each present only where the system tells: `memory_rss_bytes` of the process,
    `disk_free_bytes` of the state directory, `load_1min`, `temperature_c`.
    """
    numbers: dict[str, Any] = {}
    with suppress(OSError):
        numbers["disk_free_bytes"] = shutil.disk_usage(state_dir).free
    with suppress(OSError, IndexError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        numbers["memory_rss_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        numbers["load_1min"] = round(os.getloadavg()[0], 2)
    with suppress(OSError, ValueError):
        zone = Path("/sys/class/thermal/thermal_zone0/temp").read_text(encoding="ascii")
        numbers["temperature_c"] = int(zone) / 1000
    return numbers


def software_versions() -> dict[str, str]:
    """Return the versions that a bug report needs, by package."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("edge-inspection", *PACKAGES):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
