"""edge-build --int8: both INT8 forms in the bundle, with evidence, and the line on one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.config.station import EngineSettings
from edge.data.frames import Image
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.load import load_engine, load_types_engine
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.protocol import EngineInfo
from edge.inspection.scorer import FrameScorer
from edge.toolchain.engine_build.backends import find_backend
from edge.toolchain.engine_build.build import build_engines
from edge.toolchain.engine_build.target_profile import read_target
from edge.toolchain.packing.int8_graphs import FRESH_EVERY, ORIGIN, REPORT, split
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.toolchain.parity import TOLERANCES, Outcome, compare
from edge.toolchain.quantization import bias_correction
from edge.toolchain.quantization.calibration_set import CalibrationSet, freeze_calibration_set
from tests.support.int8 import calibration_set, check, int8_graphs
from tests.support.tiny_runs import clip, dinov2, write_run


@pytest.fixture(scope="module")
def calibration(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    good = read_image_set(plates).train[:32]
    pictures = ((read_pixels(sample.path), sample.path.name) for sample in good)
    return freeze_calibration_set(tmp_path_factory.mktemp("sets") / "plates", pictures, "plates")


def shift(bundle: Bundle, graph: GraphFile, pictures: Sequence[Image]) -> float:
    """By how much a graph scores pictures higher than FP32, as a share of the threshold."""
    means = []
    for place in (bundle.graph, graph):
        with OnnxEngine(bundle.path(place.file), place) as engine:
            scorer = FrameScorer(engine, bundle.recipe, place)
            means.append(np.mean([scorer.score(pixels).score for pixels in pictures]))
    return float(means[1] - means[0]) / bundle.thresholds.score.value


def subtracted(bundle: Bundle, graph: GraphFile) -> float:
    """What a graph takes off map and score, as a share of the threshold."""
    constants = onnx.load(str(bundle.path(graph.file))).graph.initializer
    [bias] = [onnx.numpy_helper.to_array(value) for value in constants if value.name == "bias"]
    return float(bias) / bundle.thresholds.score.value


def test_codes_and_bias_come_from_different_pictures() -> None:
    """Each kind has all places of a picture; more than enough frames are thinned out."""
    for pictures, tiles, expected in ((16, 1, (12, 4)), (64, 4, (48, 48)), (2, 1, (2, 0))):
        number = np.arange(pictures * tiles).reshape(-1, 1, 1, 1)
        fitted, fresh = split(number.astype(np.uint8), tiles)
        assert (len(fitted), len(fresh)) == expected
        assert not set((fitted // tiles).ravel()) & set((fresh // tiles).ravel())
        for kind in (fitted, fresh)[: 1 + bool(len(fresh))]:
            assert set((kind % tiles).ravel()) == set(range(tiles))


@pytest.mark.parametrize(
    ("top", "off", "noise", "passes"),
    [
        # A steep detector: a defect at 200 times the threshold.
        (200.0, 0.04, 0.0, True),
        (200.0, 0.10, 0.0, False),
        # One that is flat on a good part: its map is noise.
        (0.03, 0.0, 0.01, True),
        (0.30, 0.0, 0.30, False),
    ],
)
def test_the_gate_knows_rounding(top: float, off: float, noise: float, passes: bool) -> None:
    rng = np.random.default_rng(0)
    place = (top * np.linspace(0, 1, 64)).astype(np.float32).reshape(8, 8)
    other = (place * (1 + off) + noise * rng.uniform(-1, 1, (8, 8))).astype(np.float32)
    sides = [[Outcome(side, float(side.max()))] for side in (place, other)]
    info = EngineInfo("onnxruntime", "1", "int8", "CPU", 1)
    record = compare(*sides, 1.0, info, "torch")
    assert record.passed is passes
    assert record.verdict_flips == 0
    assert noise == 0 or record.map_correlation < TOLERANCES["int8"].correlation


@pytest.mark.slow
def test_int8_forms_are_packed_with_evidence_and_run(
    run: Path, calibration: CalibrationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any bias counts: whether these few frames make it a significant one is chance.
    monkeypatch.setattr(bias_correction, "STANDARD_ERRORS", 0)
    options = PackOptions(int8=calibration)
    bundle = pack_bundle(run, tmp_path / "bundle", options, lambda _: None)
    int8 = [graph for graph in bundle.manifest.graphs if graph.precision == "int8"]
    assert [graph.form for graph in int8] == ["cpu", "trt"]
    assert [record.passed for record in bundle.manifest.parity] == [True] * 3
    sizes = [bundle.path(graph.file).stat().st_size for graph in (bundle.graph, *int8)]
    assert max(sizes[1:]) < 0.5 * sizes[0]
    origin = json.loads(bundle.path(ORIGIN).read_text())
    assert origin["calibration_set"] == calibration.id
    assert origin["is_smoothed"] == {"detect": False}
    for form in ("cpu", "trt"):
        assert "| layer |" in bundle.path(REPORT.format(role="detect", form=form)).read_text()

    # One threshold serves all precisions: on good parts that the weights were not fitted to, scores
    # are on average those of FP32.
    kept = [read_pixels(calibration.folder / p.file) for p in calibration.manifest.pictures]
    fresh = kept[FRESH_EVERY - 1 :: FRESH_EVERY]
    assert origin["frames_for_bias"] == len(fresh) == 8
    for place in int8:
        bias = origin["bias"][place.form]
        assert abs(bias) > 0, "rounding moves scores"
        assert subtracted(bundle, place) == pytest.approx(bias, rel=1e-5)
        assert shift(bundle, place, fresh) == pytest.approx(0, abs=1e-4)

    target = read_target("cpu").model_copy(update={"precision": "int8"})
    engines = tmp_path / "engines"
    backend = find_backend("cpu", target, engines)
    built = build_engines(bundle.folder, target, backend, engines)
    assert built.verified.record.engines["detect"].file == int8[0].file
    settings = EngineSettings(backend="auto", folder=engines)
    with load_engine(bundle, settings) as engine:
        assert engine.info.precision == "int8"


@pytest.fixture(scope="module")
def two_runs(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny run that judges, and one of another kind that names types."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    for name, make in (("judging", dinov2), ("naming", clip)):
        detector = make().eval().requires_grad_(False)
        for value in detector.state_dict().values():
            value.add_(0.1 * torch.randn_like(value))
        if name == "naming":
            detector.bank.copy_(torch.nn.functional.normalize(detector.bank, dim=-1))
        write_run(folder / name, detector, plates)
    return folder / "judging", folder / "naming"


@pytest.mark.slow
def test_the_graph_that_names_types_has_its_int8_forms(
    two_runs: tuple[Path, Path], plates: Path, tmp_path: Path
) -> None:
    judging, naming = two_runs
    options = PackOptions(types_run=naming, int8=calibration_set(plates, tmp_path / "set"))
    bundle = pack_bundle(judging, tmp_path / "bundle", options, lambda _: None)
    check(bundle, judging, naming)
    origin = json.loads(bundle.path(ORIGIN).read_text())
    assert origin["is_smoothed"] == {"detect": True, "types": True}
    assert "| layer |" in bundle.path(REPORT.format(role="types", form="cpu")).read_text()

    target = read_target("cpu").model_copy(update={"precision": "int8"})
    engines = tmp_path / "engines"
    built = build_engines(bundle.folder, target, find_backend("cpu", target, engines), engines)
    parts = built.verified.record.engines
    files = [graph.file for graph in int8_graphs(bundle, "cpu")]
    assert [parts[role].file for role in ("detect", "types")] == files
    settings = EngineSettings(backend="auto", folder=engines)
    with load_types_engine(bundle, settings) as engine:
        assert engine is not None
        assert engine.info.precision == "int8"
