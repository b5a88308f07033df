"""A small file system, to fill or to write-protect."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def small_file_system(size: str) -> Iterator[Path]:
    """Yield a folder of a file system of `size`, such as 1m; skips where it cannot be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    folder = Path(tempfile.mkdtemp(prefix="edge-disk-"))  # pytest cannot remove a mount
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if is_mounted:
        yield folder
        # Lazily: a failed test may have left a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()
    if not is_mounted:
        pytest.skip("this container may not mount a small file system")
