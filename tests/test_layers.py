"""Who may import whom: over the syntax trees, and in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EDGE = ROOT / "edge"

# Rooms, bottom first: each may import those on the levels below its own, and itself.
LEVELS = (
    ("grey_picture", "printable_text", "trigger"),
    (
        "errors",
        "frame",
        "picture_damage",
        "picture_header",
        "quiet_opencv",
        "drop_counts",
        "paths",
        "redaction",
    ),
    (
        "result",
        "presence",
        "picture_file",
        "atomic_file",
        "private_file",
        "secret_file",
        "state_folder",
    ),
    ("config",),
    ("geometry",),
    ("archive", "bundle"),
    ("engines", "cameras", "messages", "networks", "triggers"),
    ("inspection",),
    ("outputs", "data"),
    ("mqtt", "evaluation", "training"),
    ("station", "methods"),
    ("toolchain", "diagnostics", "dashboard"),
    ("cli",),
)
RANKS = {room: rank for rank, rooms in enumerate(LEVELS) for room in rooms}
# Rooms that train or build, and the commands that open them.
TRAINING_ROOMS = {"networks", "methods", "training", "toolchain"}
TRAINING_COMMANDS = {
    "cli/train.py",
    "cli/train_requests.py",
    "cli/build.py",
    "cli/build_engine.py",
    "cli/import_.py",
    "cli/import_anomalib.py",
    "cli/recipe.py",
}
# Third-party libraries and the only rooms that may import them.
LIBRARIES = {
    "torch": TRAINING_ROOMS,
    "transformers": {"networks", "methods"},
    "safetensors": {"networks", "methods", "training"},
    "onnx": {"toolchain"},
    "onnxscript": {"toolchain"},
    "onnxruntime": {"engines", "toolchain"},
    "cv2": {
        "grey_picture", "picture_file", "quiet_opencv", "inspection", "cameras", "outputs", "data",
        "evaluation", "methods", "diagnostics", "geometry",
    },
    "simplejpeg": {"picture_damage"},
    "paho": {"mqtt", "cli"},
    "cryptography": {"bundle", "messages", "cli"},
    "amqtt": {"mqtt"},
    "tensorrt": {"engines"},
    "tensorrt_rtx": {"engines"},
    "openvino": {"engines", "toolchain"},
    "cuda": {"engines"},
    "pycuda": {"engines"},
    "gi": {"cameras"},
    "pydantic": {
        "config", "archive", "geometry", "bundle", "engines", "messages", "data", "networks",
        "methods", "toolchain", "cli", "dashboard",
    },
    "yaml": {
        "config", "geometry", "networks", "methods", "training", "toolchain", "dashboard",
    },
    "typer": {"cli"},
    "rich": {"cli"},
    "starlette": {"dashboard"},
    "uvicorn": {"dashboard"},
    "jinja2": {"dashboard"},
    "argon2": {"dashboard"},
    "jsonschema": set(),
}  # fmt: skip
FILES = sorted(EDGE.rglob("*.py"))
LONGEST = 300


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports at run time; modules of ours as modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own, path = room(module), MODULES[module]
    relative = path.relative_to(EDGE).as_posix()
    for name in imports(path):
        target = room(name)
        if name.split(".")[0] == "edge" and target and target != own:
            assert RANKS[target] < RANKS[own], f"{relative} imports {name}"
            if target in TRAINING_ROOMS:
                assert own in TRAINING_ROOMS or relative in TRAINING_COMMANDS
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert own in LIBRARIES[library], f"{relative} imports {library}"


def test_every_room_has_a_level() -> None:
    assert {room(module) for module in MODULES} - {""} == set(RANKS)


def test_no_circle_of_imports() -> None:
    graph = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_a_long_file_says_why_in_its_first_line(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").splitlines()
    if len(lines) > LONGEST:
        assert f"more than {LONGEST} lines" in lines[0], f"{module}: {len(lines)} lines"


FENCE = """
import importlib, pkgutil, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxscript", "transformers", "safetensors"}:
            raise ImportError("forbidden here: " + name)
        if name in FORBIDDEN_ROOMS:
            raise ImportError("forbidden here: " + name)

FORBIDDEN_ROOMS = {"edge." + name for name in sys.argv[1].split(",")}
sys.meta_path.insert(0, Forbidden())
names = sys.argv[2].split(",")
for name in list(names):
    module = importlib.import_module("edge." + name)
    if hasattr(module, "__path__"):
        names += [m.name[5:] for m in pkgutil.walk_packages(module.__path__, module.__name__ + ".")]
for name in names:
    importlib.import_module("edge." + name)
print(len(names))
"""
RUNTIME = [
    *(room for rank in LEVELS for room in rank if room not in {*TRAINING_ROOMS, "cli"}),
    *(f"cli.{name}" for name in ("infer", "watch", "command", "doctor", "bench", "eval")),
    *(f"cli.{name}" for name in ("explain", "console", "tables", "grab")),
]


def test_line_and_evaluation_import_without_training_libraries() -> None:
    command = [sys.executable, "-c", FENCE, ",".join(TRAINING_ROOMS), ",".join(RUNTIME)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


DEVICE_BUILD = """
import sys
for name in ("torch", "onnx", "onnxscript", "transformers", "safetensors", "tensorrt", "pycuda"):
    sys.modules[name] = None
import edge.toolchain.engine_build.build, edge.toolchain.engine_build.tensorrt.compile
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
