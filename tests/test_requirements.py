"""The lock files cover what setup.py asks for, by hash, on every Python and machine we support."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
# Each lock file, the extras of setup.py and the .in file that it is made of.
LOCKS = {
    "runtime": (("cpu",), None),
    "demo": (("cpu", "demo"), None),
    "openvino": (("cpu", "openvino"), None),
    "docs": (("docs",), None),
    "training": (("cpu", "train"), None),
    "development": (("cpu", "demo", "train", "test", "dev"), None),
    "jetson-cuda12": (("cpu",), "jetson-cuda12"),
    "jetson-cuda13": (("cpu",), "jetson-cuda13"),
    "build": ((), "build"),
    "tools": ((), "tools"),
}
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.9", "platform_machine": machine}
    | {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    | {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    for python in ("3.10", "3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]


class Pin(Requirement):
    """One package of a lock file at its version."""

    def __init__(self, text: str):
        pinned, *hashes = re.split(r"\s+--hash=", text)
        super().__init__(pinned)
        self.hashes = hashes

    @property
    def version(self) -> str:
        (only,) = self.specifier
        assert only.operator == "==", self
        return only.version


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    kept: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **settings: kept.update(settings))
        runpy.run_path(str(ROOT / "setup.py"))
    return kept


def pins(name: str) -> list[Pin]:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    return [Pin(line) for line in text.splitlines() if line and not line.startswith("#")]


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def applies(requirement: Requirement, machine: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**machine, "extra": ""})


def wanted(asked: dict[str, Any], name: str) -> Iterator[Requirement]:
    extras, source = LOCKS[name]
    texts: list[str] = list(asked["install_requires"]) if extras else []
    for extra in extras:
        texts += asked["extras_require"][extra]
    if source:
        texts += lines(FOLDER / f"{source}.in")
    yield from map(Requirement, texts)


def find(requirement: Requirement, among: Iterable[Pin], machine: dict[str, str]) -> list[Pin]:
    name = canonicalize_name(requirement.name)
    return [pin for pin in among if canonicalize_name(pin.name) == name and applies(pin, machine)]


def test_there_is_a_lock_file_for_every_kind() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(LOCKS)
    script = (ROOT / "scripts" / "lock").read_text(encoding="utf-8")
    assert set(re.findall(r"^lock (\S+) ", script, re.MULTILINE)) == set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_asked_for_is_locked_once_and_within_its_limits(
    asked: dict[str, Any], name: str
) -> None:
    locked = pins(name)
    for machine in MACHINES:
        for requirement in wanted(asked, name):
            if not applies(requirement, machine):
                continue
            found = find(requirement, locked, machine)
            assert len(found) == 1, (f"{requirement}: not locked; run make lock", machine)
            pin = found[0]
            assert requirement.specifier.contains(pin.version), (requirement, pin, machine)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_hashes_and_comes_from_no_named_place(name: str) -> None:
    for pin in pins(name):
        assert pin.version
        assert pin.url is None
        assert pin.hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value.strip()) for value in pin.hashes), pin
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--extra|--find-links|--trusted|\bfile:", text)


def test_the_runtime_brings_no_training_library() -> None:
    training = {"torch", "onnx", "onnxscript", "transformers", "safetensors"}
    for name in ("runtime", "openvino"):
        assert not training & {canonicalize_name(pin.name) for pin in pins(name)}


def test_the_package_is_built_with_what_the_project_names() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (named,) = re.findall(r"^requires = \[(.*)\]$", project, re.MULTILINE)
    assert set(re.findall(r'"([^"]+)"', named)) <= set(lines(FOLDER / "build.in"))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.jetson"])
def test_images_install_by_hash_only(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:install|wheel) [^&\n]+", text)
    assert len(installs) >= 4
    for command in installs:
        is_ours = "--no-index" in command and "--no-deps" in command
        assert is_ours or ("--require-hashes" in command and "-r " in command), command
    for lock in re.findall(r"requirements/([\w-]+)\.txt", text):
        assert lock in LOCKS
    for lock in re.findall(r"REQUIREMENTS=([\w-]+)", text):
        assert lock in LOCKS
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert all("$" in base or base == "platform" for base in bases), (
        "a digest can be given for each"
    )


def test_the_page_of_dependencies_names_the_flaw_below_each_floor(asked: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", page, re.MULTILINE)
    assert len(rows) >= 8
    every = [Requirement(text) for text in asked["install_requires"]]
    every += [Requirement(text) for texts in asked["extras_require"].values() for text in texts]
    for name, floor in rows:
        found = [each for each in every if canonicalize_name(each.name) == name]
        assert any(f">={floor}" in map(str, each.specifier) for each in found), (name, floor)


@pytest.mark.parametrize(
    ("name", "flawed"),
    [
        ("opencv-python-headless", "4.8.0.76"),
        ("opencv-python-headless", "4.11.0.86"),
        ("onnx", "1.20.1"),
        ("torch", "2.9.1"),
        ("pyyaml", "5.3.1"),
        ("cryptography", "44.0.0"),
        ("setuptools", "78.1.0"),
        ("transformers", "4.52.4"),
        ("onnxruntime", "1.22.0"),
    ],
)
def test_a_release_with_a_known_flaw_is_not_installed(
    asked: dict[str, Any], name: str, flawed: str
) -> None:
    every = [*asked["install_requires"]]
    every += [text for texts in asked["extras_require"].values() for text in texts]
    found = [each for each in map(Requirement, every) if canonicalize_name(each.name) == name]
    assert found
    for requirement in found:
        assert not SpecifierSet(str(requirement.specifier)).contains(flawed)
