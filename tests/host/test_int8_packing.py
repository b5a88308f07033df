"""edge-build --int8: both INT8 forms in the bundle, with evidence, and the line on one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.config.station import EngineSettings
from edge.engines.load import load_engine
from edge.toolchain.calibration_set import CalibrationSet, freeze_calibration_set
from edge.toolchain.engines import build_engines
from edge.toolchain.int8_graphs import ORIGIN, REPORT
from edge.toolchain.makers import find_maker
from edge.toolchain.pack import PackOptions, pack_bundle
from edge.toolchain.tensorrt.targets import read_target
from edge.training.dataset import read_image_set, read_pixels

TARGETS = Path(__file__).resolve().parents[2] / "build" / "targets"


@pytest.fixture(scope="module")
def calibration(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    good = read_image_set(plates).train[:12]
    pictures = ((read_pixels(sample.path), sample.path.name) for sample in good)
    return freeze_calibration_set(tmp_path_factory.mktemp("sets") / "plates", pictures, "plates")


@pytest.mark.slow
def test_int8_forms_are_packed_with_evidence_and_run(
    run: Path, calibration: CalibrationSet, tmp_path: Path
) -> None:
    options = PackOptions(int8=calibration)
    bundle = pack_bundle(run, tmp_path / "bundle", options, lambda _: None)
    coded = [graph for graph in bundle.manifest.graphs if graph.precision == "int8"]
    assert [graph.form for graph in coded] == ["cpu", "trt"]
    assert [record.passed for record in bundle.manifest.parity] == [True] * 3
    sizes = [bundle.path(graph.file).stat().st_size for graph in (bundle.graph, *coded)]
    assert max(sizes[1:]) < 0.5 * sizes[0]
    assert json.loads(bundle.path(ORIGIN).read_text())["calibration_set"] == calibration.id
    for form in ("cpu", "trt"):
        assert "| layer |" in bundle.path(REPORT.format(form=form)).read_text()

    target = read_target("cpu", TARGETS).model_copy(update={"precision": "int8"})
    engines = tmp_path / "engines"
    maker = find_maker("cpu", target, engines)
    built = build_engines(bundle.folder, target, maker, engines)
    assert built.proven.record.engines["detect"].file == coded[0].file
    settings = EngineSettings(backend="auto", folder=engines)
    with load_engine(bundle, settings) as engine:
        assert engine.info.precision == "int8"
