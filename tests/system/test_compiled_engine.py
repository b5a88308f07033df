"""edge-infer with a compiled engine: built by the script, verified, run; refused when it is not.

TensorRT and CUDA are fakes here, whose engines ONNX Runtime computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import ROOT
from tests.system.conftest import DEMO_BUNDLE, DEMO_IMAGES, Station, results

SCRIPT = ROOT / "build" / "build_engine.py"
FAKE_GPU = ROOT / "tests" / "support" / "fake_gpu"
TARGET = """
title: a device that is none
backend: tensorrt
precision: fp32
tensorrt: {since: "10.3", below: "11"}
compute_capabilities: ["8.7"]
memory: {workspace: 64MiB, build: 2GiB}
"""


def build(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE_GPU), str(ROOT)]))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of each kind of the demo."""
    folder = tmp_path_factory.mktemp("pictures")
    for kind in sorted(path for path in DEMO_IMAGES.iterdir() if path.is_dir()):
        (folder / kind.name).mkdir()
        for path in sorted(kind.glob("*.png"))[:2]:
            (folder / kind.name / path.name).symlink_to(path)
    return folder


def station(folder: Path, pictures: Path, engine: str) -> Station:
    folder.mkdir()
    return Station(
        folder,
        f"node: n1\nstation: s1\nbundle: {DEMO_BUNDLE}\nengine: {engine}\n"
        f"camera: {{source: 'file://{pictures}'}}\nmqtt: {{broker: none}}\n",
    )


def test_from_bundle_to_verdicts_on_a_compiled_engine(tmp_path: Path, pictures: Path) -> None:
    target, out = tmp_path / "none.yaml", tmp_path / "engines"
    target.write_text(TARGET)
    done = build(str(DEMO_BUNDLE), "--target", str(target), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "tensorrt 10.3.0 fp32 on Orin (8.7) passed parity" in done.stdout
    assert "building engine=detect tensorrt fp32 percent=50" in done.stderr

    compiled = station(tmp_path / "a", pictures, f"{{backend: tensorrt, folder: {out}}}")
    reference = station(tmp_path / "b", pictures, "{backend: onnxruntime}").run("--json")
    done = compiled.run("--json")
    assert done.returncode == 0, done.stderr
    assert "engine chosen role=detect backend=tensorrt precision=fp32" in done.stderr
    found, expected = results(done.stdout), results(reference.stdout)
    assert [r["result"] for r in found] == [r["result"] for r in expected]
    assert {r["result"] for r in found} == {"pass", "fail"}
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
    engine = found[0]["model"]["engine"]
    assert (engine["backend"], engine["version"], engine["parity"]) == (
        "tensorrt", "10.3.0", "passed",
    )  # fmt: skip

    (path,) = out.glob("*/detect.engine")
    path.write_bytes(path.read_bytes()[:-1])
    done = compiled.run("--json")
    assert done.returncode == 4
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error:"))
    assert "the file is cut off or was exchanged; build it on this device" in line


def test_without_a_proven_engine_the_line_does_not_start(tmp_path: Path, pictures: Path) -> None:
    engine = f"{{backend: tensorrt, folder: {tmp_path / 'none'}}}"
    done = station(tmp_path / "a", pictures, engine).run("--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "expected an engine of bundle" in done.stderr
    assert "found none for tensorrt; build it on this device" in done.stderr


def test_the_script_only_hands_on() -> None:
    done = build("--help")
    assert done.returncode == 0
    assert "--target" in done.stdout
    assert len(SCRIPT.read_text().splitlines()) <= 60
    done = build(str(DEMO_BUNDLE), "--target", "abacus")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --target abacus: no such target; choose one of cpu, ")
