"""Who may import whom: over the syntax trees, and in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EDGE = ROOT / "edge"

# Folders, top first: each may import the ones below it, never one above.
RANKS = {
    "cli": 6,
    "toolchain": 5,
    "training": 4,
    "models": 3,
    "pipeline": 3,
    "mqtt": 2,
    "cameras": 2,
    "engines": 2,
    "vision": 2,
    "bundle": 1,
    "config": 0,
    # Modules right under edge/: types and errors that everyone shares.
    "frame": 0,
    "result": 0,
    "errors": 0,
    "": 0,
}
HOST_ONLY = {"models", "training", "toolchain"}
HOST_COMMANDS = {
    "cli/train.py",
    "cli/train_methods.py",
    "cli/build.py",
    "cli/eval.py",
    "cli/import_.py",
    "cli/recipe.py",
}
# Third-party libraries and the only places that may import them.
LIBRARIES = {
    "torch": HOST_ONLY,
    "transformers": HOST_ONLY,
    "safetensors": HOST_ONLY,
    "onnx": {"toolchain"},
    "onnxscript": {"toolchain"},
    "onnxruntime": {"engines", "toolchain"},
    "cv2": {"vision", "cameras", "bundle", "pipeline", "training"},
    "paho": {"mqtt", "cli"},
    "amqtt": {"mqtt"},
    "tensorrt": {"engines"},
    "tensorrt_rtx": {"engines"},
    "openvino": {"engines"},
    "cuda": {"engines"},
    "pycuda": {"engines"},
    "pydantic": {"config", "bundle", "engines", "mqtt", "models", "toolchain", "cli"},
    "yaml": {"config", "training", "toolchain"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jsonschema": set(),
}
FILES = sorted(EDGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("<relative>")
    return found


def room(path: Path) -> str:
    parts = path.relative_to(EDGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    relative = path.relative_to(EDGE).as_posix()
    for name in imports(path):
        assert name != "<relative>", "imports are absolute"
        if name.split(".")[0] == "edge" and len(name.split(".")) > 1:
            target = name.split(".")[1]
            if target not in RANKS:
                continue  # a name inside edge/__init__
            if target in HOST_ONLY:
                assert own in HOST_ONLY or relative in HOST_COMMANDS or _is_typing_only(path, name)
            if target != own:
                assert RANKS[target] <= RANKS[own], f"{relative} imports {name}"
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert own in LIBRARIES[library], f"{relative} imports {library}"


def _is_typing_only(path: Path, name: str) -> bool:
    """The import stands under `if TYPE_CHECKING` and never runs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            inside = {n.module for n in ast.walk(node) if isinstance(n, ast.ImportFrom)}
            if any(name == module or name.startswith(f"{module}.") for module in inside):
                return True
    return False


RUNTIME = """
import importlib, pkgutil, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        host = ("edge.models", "edge.training", "edge.toolchain")
        if top in {"torch", "onnx", "onnxscript", "transformers", "safetensors"} or name in host:
            raise ImportError("forbidden on the line: " + name)

sys.meta_path.insert(0, Forbidden())
import edge
rooms = ("bundle", "cameras", "config", "engines", "mqtt", "pipeline", "vision")
names = ["edge." + r for r in rooms] + ["edge.frame", "edge.result", "edge.errors"]
for r in rooms:
    package = importlib.import_module("edge." + r)
    names += [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
commands = ("infer", "watch", "command", "doctor", "bench")
names += ["edge.cli." + c for c in (*commands, "console", "tables")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_runtime_imports_without_training_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNTIME], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


DEVICE_BUILD = """
import sys
for name in ("torch", "onnx", "onnxscript", "transformers", "safetensors", "tensorrt", "pycuda"):
    sys.modules[name] = None
import edge.toolchain.engines, edge.toolchain.tensorrt.compile
"""


def test_a_device_builds_engines_without_training_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEVICE_BUILD], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_edge_costs_nothing() -> None:
    code = "import sys; import edge; print([m for m in sys.modules if m in ('numpy', 'cv2')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
