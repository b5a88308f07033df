"""A bundle with a graph for types beside the one that judges: what it must agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle.store import OWN_PICTURES, open_bundle
from edge.errors import BundleCorrupt
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle, sign, with_two_graphs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_two_graphs(make_bundle(tmp_path, "typed"))


def test_each_graph_has_its_role(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.graph.file == "models/detect.onnx"
    assert bundle.types_graph is not None
    assert bundle.types_graph.outputs[0].name == "type_logits"
    assert bundle.recipe.defect_types == ("bright", "dark")
    assert open_bundle(DEMO_BUNDLE).types_graph is None


def graphs(folder: Path, change: Callable[[list[dict]], object]) -> None:
    known = json.loads((folder / "bundle.json").read_text())["graphs"]
    change(known)
    edit_json(folder / "bundle.json", graphs=known)


def text(folder: Path, old: str, new: str) -> None:
    recipe = (folder / "recipe.yaml").read_text()
    assert old in recipe
    (folder / "recipe.yaml").write_text(recipe.replace(old, new))
    sign(folder)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda f: graphs(f, lambda g: g[1]["outputs"][0].update(name="map")),
            r"models/types\.onnx: expected an output type_logits, found map; rebuild",
        ),
        (
            lambda f: text(f, "types_size_wh: [96, 64]", "types_size_wh: [64, 96]"),
            r"types_size_wh: expected \(96, 64\) as models/types\.onnx takes it, found \(64, 96\)",
        ),
        (lambda f: text(f, "types_size_wh: [96, 64]", ""), r"expected \(96, 64\) .* found None"),
        (lambda f: text(f, "[bright, dark]", "[bright]"), "names 1 defect types, .* tells 2 apart"),
        (lambda f: graphs(f, lambda g: g.pop(0)), "expected one FP32 graph of role detect"),
        (
            lambda f: graphs(f, lambda g: g.append(g[1])),
            "at most one of role types, found detect, types, types",
        ),
        (lambda f: graphs(f, lambda g: g.append(g[0])), "expected one FP32 graph of role detect"),
        (lambda f: (f / "models" / "types.onnx").write_bytes(b""), r"types\.onnx was altered"),
    ],
)
def test_what_does_not_agree_is_found_at_once(folder: Path, damage, problem: str) -> None:
    damage(folder)
    with pytest.raises(BundleCorrupt, match=problem):
        open_bundle(folder)


def test_other_outputs_of_a_types_graph_are_no_fault(folder: Path) -> None:
    """The engine refuses a file that differs; here only the manifest is read."""
    score = {"name": "score", "shape": [1], "dtype": "float32"}
    graphs(folder, lambda g: g[1]["outputs"].append(score))
    assert open_bundle(folder).types_graph is not None


def test_own_pictures_are_read_and_hashed(folder: Path) -> None:
    path = folder / OWN_PICTURES
    path.write_text(json.dumps({"pictures": ["test/open/012.png"]}))
    sign(folder)
    assert open_bundle(folder).own_pictures == ("test/open/012.png",)
    path.write_text(json.dumps({"pictures": []}))
    with pytest.raises(BundleCorrupt, match=r"own_pictures\.json was altered"):
        open_bundle(folder)
    path.write_text("[]")
    sign(folder)
    with pytest.raises(BundleCorrupt, match=r"own_pictures\.json: "):
        open_bundle(folder)
