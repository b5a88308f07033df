"""What a GPU is: its name, compute capability, driver and Jetson Linux release."""

from __future__ import annotations

import re
from pathlib import Path

from edge.config.reader import Settings

L4T_RELEASE = Path("/etc/nv_tegra_release")


class Gpu(Settings):
    """The device an engine was built on, as its cache key needs it.

    Attributes:
        name: of the GPU.
        compute_capability: such as `8.7`.
        multiprocessors: in use; a power mode may switch some off.
        memory_clock_khz: peak; depends on the power mode on a Jetson.
        driver: highest CUDA version that the driver serves, such as `12.6`.
        runtime: CUDA version of the binding.
        l4t: Jetson Linux release such as `36.4.3`; empty elsewhere.
    """

    name: str
    compute_capability: str
    multiprocessors: int
    memory_clock_khz: int
    driver: str
    runtime: str
    l4t: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.compute_capability})"


def l4t_release(path: Path = L4T_RELEASE) -> str:
    """Read the Jetson Linux release, such as `36.4.3`; empty on other machines."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", text)
    return f"{match.group(1)}.{match.group(2)}" if match else ""


def cuda_version(number: int) -> str:
    """Return the version of a CUDA version number: 12060 is 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"
