"""The XML of an OpenVINO IR is read down to its layers before OpenVINO opens it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from edge.bundle.manifest import GraphFile
from edge.bundle.openvino_ir_file import MAX_DEPTH, check_ir, values_beside
from edge.bundle.store import open_bundle
from edge.errors import BundleCorrupt
from tests.support.bundles import sign
from tests.support.ir_bundle import IR_FILE, make_ir_bundle

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO NOT TESTED: pip install 'edge-inspection[openvino]'",
)
LAYER = '<layer id="0" name="a" type="Parameter" version="opset1"/>'
NET = f'<?xml version="1.0"?><net name="n" version="11"><layers>{LAYER}</layers></net>'


def test_layers_of_openvinos_own_operators_are_taken() -> None:
    check_ir(NET.encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no element found"),
        ("not xml", "syntax error"),
        (NET[:-6], "no element found"),
        ("<html/>", "found <html>"),
        ('<net name="n"/>', "found no layers"),
        (NET.replace("opset1", "extension"), "'Parameter' of 'extension', which needs an ext"),
        (NET.replace("opset1", "opset1x"), "which needs an extension"),
        (NET.replace(' version="opset1"', ""), "which needs an extension"),
        (NET.replace("<net", '<!DOCTYPE net [<!ENTITY a "b">]><net'), "document type declaration"),
        (NET.replace(LAYER, "<b>" * MAX_DEPTH + LAYER + "</b>" * MAX_DEPTH), "64 deep"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        check_ir(text.encode())
    assert "\n" not in str(caught.value)


def test_a_layer_inside_the_body_of_a_loop_is_seen() -> None:
    body = f"<body><layers>{LAYER.replace('opset1', 'other')}</layers></body></layer>"
    inside = NET.replace("/></layers>", f">{body}</layers>")
    with pytest.raises(ValueError, match="which needs an extension"):
        check_ir(inside.encode())


def test_values_lie_beside_the_xml() -> None:
    assert values_beside("models/a.fp32.xml") == "models/a.fp32.bin"


def test_an_ir_has_the_suffix_that_openvino_expects() -> None:
    graph = {"file": "a.onnx", "format": "openvino_ir", "precision": "fp32"}
    spec = {"name": "a", "shape": [1], "dtype": "float32"}
    with pytest.raises(ValueError, match=r"expected \.xml for an OpenVINO IR, found a\.onnx"):
        GraphFile.model_validate({**graph, "inputs": [spec], "outputs": [{**spec, "name": "b"}]})


@needs_openvino
def test_a_bundle_holds_both_files_and_says_so(tmp_path: Path) -> None:
    bundle = open_bundle(make_ir_bundle(tmp_path / "bundle"))
    assert bundle.graph.files == (IR_FILE, values_beside(IR_FILE))
    assert bundle.graph.format == "openvino_ir"


@needs_openvino
def test_values_that_are_altered_absent_or_not_listed_are_refused(tmp_path: Path) -> None:
    folder = make_ir_bundle(tmp_path / "bundle")
    values = folder / values_beside(IR_FILE)
    whole = values.read_bytes()
    values.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleCorrupt, match=r"detect\.fp32\.bin was altered"):
        open_bundle(folder)
    values.unlink()
    with pytest.raises(BundleCorrupt, match=r"detect\.fp32\.bin is missing"):
        open_bundle(folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["files"][values_beside(IR_FILE)]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleCorrupt, match=r"graphs without a hash: .*detect\.fp32\.bin"):
        open_bundle(folder)


@needs_openvino
def test_a_bundle_whose_ir_needs_an_extension_does_not_open(tmp_path: Path) -> None:
    folder = make_ir_bundle(tmp_path / "bundle")
    file = folder / IR_FILE
    file.write_text(file.read_text().replace('version="opset1"', 'version="mine"', 1))
    with pytest.raises(BundleCorrupt, match=r"detect\.fp32\.xml: .*which needs an extension"):
        open_bundle(sign(folder))
