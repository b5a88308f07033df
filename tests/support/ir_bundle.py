"""The demo's bundle with its graph as an OpenVINO IR, which the package openvino writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.bundles import DEMO_BUNDLE, sign

IR_FILE = "models/detect.fp32.xml"


def make_ir_bundle(folder: Path) -> Path:
    """Copy the demo's bundle to `folder`, its FP32 graph alone, written by OpenVINO."""
    import openvino

    shutil.copytree(DEMO_BUNDLE, folder)
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    graph = next(each for each in manifest["graphs"] if each["precision"] == "fp32")
    openvino.serialize(openvino.convert_model(folder / graph["file"]), folder / IR_FILE)
    for onnx in folder.glob("models/*.onnx"):
        onnx.unlink()
    manifest["graphs"] = [{**graph, "file": IR_FILE, "format": "openvino_ir"}]
    manifest["files"] = {name: "" for name in manifest["files"] if (folder / name).exists()}
    path.write_text(json.dumps(manifest))
    return sign(folder)
