"""The wheel holds exactly the import package; nothing of build/, tests or data slips in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
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
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_the_package_and_nothing_else(wheel_names: set[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edge").rglob("*")
        if path.suffix in {".py", ".json", ".yaml"} and "__pycache__" not in path.parts
    }
    inside = {name for name in wheel_names if ".dist-info/" not in name}
    assert inside == sources


def test_wheel_has_the_seven_commands(wheel_names: set[str]) -> None:
    assert any(name.endswith("entry_points.txt") for name in wheel_names)
    from importlib.metadata import entry_points

    names = {entry.name for entry in entry_points(group="console_scripts")}
    commands = {
        "edge-infer", "edge-watch", "edge-command", "edge-doctor",
        "edge-train", "edge-build", "edge-eval",
    }  # fmt: skip
    assert commands <= names


def test_folders_with_commands_are_no_packages() -> None:
    assert not (ROOT / "build" / "__init__.py").exists()
    assert not (ROOT / "calibration" / "__init__.py").exists()
