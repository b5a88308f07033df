"""The wheel holds the import package and the target profiles, nothing else, and works alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = "edge/toolchain/engine_build/targets"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("edge", "build", "calibration", "configs"):
        ignore = shutil.ignore_patterns("__pycache__", "lib", "bdist.*")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", "dist", "."], cwd=source, check=True)
    assert not (source / "build" / "lib").exists(), "setuptools used build/ as scratch"
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run a program of an environment that has the wheel, outside the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    # Its dependencies are those of the tests. A folder of PYTHONPATH reads no .pth files, so that
    # an editable install of the checkout is not among them.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python.with_name(program)), *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_wheel_holds_the_package_and_nothing_else(wheel_names: set[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edge").rglob("*")
        if path.suffix in {".py", ".json", ".yaml"} and "__pycache__" not in path.parts
    }
    page = ROOT / "edge" / "dashboard"
    for folder in ("templates", "static"):
        served = [path for path in (page / folder).rglob("*") if path.is_file()]
        assert len(served) > 5
        sources |= {path.relative_to(ROOT).as_posix() for path in served}
    profiles = {f"{TARGETS}/{path.name}" for path in (ROOT / "build" / "targets").iterdir()}
    assert len(profiles) > 5
    inside = {name for name in wheel_names if ".dist-info/" not in name}
    assert inside == sources | profiles


def test_an_installed_wheel_builds_engines(installed: Command, tmp_path: Path) -> None:
    where = installed("python", "-c", "import edge; print(edge.__file__)").stdout
    assert str(ROOT) not in where
    options = ("--target", "cpu", "--out", str(tmp_path))
    done = installed("edge-build-engine", str(ROOT / "demo" / "bundle"), *options)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout
    assert "passed parity" in done.stdout
    (record,) = tmp_path.glob("*/parity.json")
    assert '"passed": true' in record.read_text()


def test_an_installed_wheel_names_the_nearest_targets(installed: Command, tmp_path: Path) -> None:
    done = installed("edge-build-engine", str(tmp_path), "--target", "jetson-orin")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --target jetson-orin: no such target; the nearest are ")
    assert "jetson-orin-jp7" in line
    assert "datacentre" not in line


def test_the_help_lists_every_target(installed: Command) -> None:
    done = installed("edge-build-engine", "--help")
    text = " ".join(done.stdout.split())
    for path in (ROOT / "build" / "targets").glob("*.yaml"):
        assert path.stem in text


def test_wheel_has_the_commands(wheel: Path, wheel_names: set[str]) -> None:
    (file,) = (name for name in wheel_names if name.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        declared = archive.read(file).decode()
    names = {line.split(" = ")[0] for line in declared.splitlines() if " = " in line}
    assert names == {
        "edge-infer", "edge-watch", "edge-command", "edge-doctor", "edge-bench", "edge-train",
        "edge-build", "edge-build-engine", "edge-import", "edge-recipe", "edge-eval",
        "edge-explain", "edge-grab", "edge-archive", "edge-bundle", "edge-calibrate",
        "edge-dashboard",
    }  # fmt: skip


def test_folders_with_commands_are_no_packages() -> None:
    assert not (ROOT / "build" / "__init__.py").exists()
    assert not (ROOT / "calibration" / "__init__.py").exists()
