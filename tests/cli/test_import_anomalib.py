"""edge-bundle import-anomalib, as a person types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.bundle.store import open_bundle
from edge.picture_file import encode_picture
from tests.cli.test_bundle import edge_bundle
from tests.support.anomalib_pictures import VALIDATED, plate
from tests.support.bundles import ROOT

EXPORT = ROOT / "tests" / "models" / "anomalib" / "padim_raw.onnx"


def test_an_export_becomes_a_bundle_and_bad_input_one_line(tmp_path: Path) -> None:
    data, out = tmp_path / "good", tmp_path / "bundle"
    data.mkdir()
    for seed in VALIDATED:
        pixels = np.ascontiguousarray(plate(seed)[:64, :64, ::-1])
        (data / f"{seed}.png").write_bytes(encode_picture(pixels))
    made = edge_bundle("import-anomalib", EXPORT, "--data", data, "--out", out)
    assert made.returncode == 0, made.stderr
    assert "the model's own threshold: not used; it calls" in made.stdout
    assert open_bundle(out).manifest.method == "anomalib"

    refused = edge_bundle("import-anomalib", "a.bin", "--data", data, "--out", tmp_path / "other")
    assert (refused.returncode, refused.stderr.count("\n")) == (10, 1), refused.stderr
    assert "expected the .xml file of an OpenVINO IR" in refused.stderr
