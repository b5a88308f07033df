"""`--help` answers at once: no command imports a heavy library before it has parsed its options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.bundles import ROOT

COMMANDS = ["infer", "doctor", "grab", "bench", "build", "build_engine", "train", "eval", "explain",
            "import_", "recipe", "calibrate", "bundle", "archive"]  # fmt: skip
HELP = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name in {"numpy", "cv2", "torch", "onnx", "onnxruntime", "scipy", "paho", "PIL"}:
            raise ImportError("too heavy for --help: " + name)

sys.meta_path.insert(0, Forbidden())
sys.argv = ["command", "--help"]
from edge.cli.NAME import main
main()
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = HELP.replace("NAME", command)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
