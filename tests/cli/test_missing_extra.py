"""Without an extra, every command that needs one says which, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli.missing_extra import advice

ROOT = Path(__file__).resolve().parents[2]
FENCE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

ABSENT = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Absent())
command, sys.argv = sys.argv[2], [f"edge-{sys.argv[2]}", *sys.argv[3:]]
import importlib
importlib.import_module(f"edge.cli.{command}").main()
"""
TRAIN = "torch,onnx,onnxscript,safetensors,transformers,tokenizers"
COMMANDS = {
    "train": ["--data", "demo", "--out", "{}/run"],
    "build": ["runs/none", "--out", "{}/bundle"],
    "import_": ["run", "runs/none", "--data", "demo", "--out", "{}/run"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_training_libraries_the_extra_is_named(command: str, tmp_path: Path) -> None:
    arguments = [part.format(tmp_path) for part in COMMANDS[command]]
    done = subprocess.run(
        [sys.executable, "-c", FENCE, TRAIN, command, *arguments],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: edge-{command} needs ")
    assert done.stderr.endswith(": pip install 'edge-inspection[train]'\n")


def test_a_missing_part_of_our_own_is_a_defect_not_advice() -> None:
    assert advice(ModuleNotFoundError("gone", name="edge.data.gone"), "edge-eval") is None
    assert advice(ModuleNotFoundError("gone", name="numpy"), "edge-eval") is None
