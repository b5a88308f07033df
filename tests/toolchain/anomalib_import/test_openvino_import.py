"""OpenVINO IRs of anomalib's models judge in our line as in its own inferencer.

Each is made as anomalib makes it: `openvino.convert_model` of its ONNX file, then `save_model`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.config.station import DecisionSettings, EngineSettings
from edge.engines.load import load_engine
from edge.errors import EngineLoadError, ExportError
from edge.inspection.inspector import Inspector
from edge.inspection.scorer import FrameScorer
from edge.toolchain.anomalib_import import openvino_export
from edge.toolchain.anomalib_import.importing import Imported, import_export
from edge.toolchain.anomalib_import.openvino_export import OpenVinoExport
from edge.toolchain.anomalib_import.read_export import read_export
from edge.toolchain.anomalib_import.request import ImportRequest
from edge.toolchain.anomalib_import.seen_area import find_seen_area
from tests.support.anomalib_exports import (
    NAMES,
    frame,
    judged_cases,
    quiet,
    write_good,
    write_ir,
)

openvino = pytest.importorskip("openvino", reason="pip install 'edge-inspection[openvino]'")


@pytest.fixture(scope="module")
def irs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("irs")
    return {name: write_ir(name, folder / name) for name in NAMES}


@pytest.fixture(scope="module")
def imported(irs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Imported]:
    folder, made = tmp_path_factory.mktemp("bundles"), {}
    for name, path in irs.items():
        good = write_good(folder / f"good-{name}", name)
        made[name] = import_export(ImportRequest(path, good, alpha=0.2), folder / name, quiet)
    return made


def edited(path: Path, folder: Path, change: Any) -> Path:
    """Write an IR again, changed."""
    model = openvino.Core().read_model(path)
    changed = change(model) or model
    openvino.save_model(changed, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def scores(bundle: Bundle, name: str) -> dict[str, float]:
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        return {case: scorer.score(pixels).score for case, pixels, _ in judged_cases(name)}


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_anomalib(name: str, imported: dict[str, Imported]) -> None:
    found = scores(imported[name].bundle, name)
    for case, _, expected in judged_cases(name):
        assert found[case] == pytest.approx(expected, abs=1e-4 * max(1, abs(expected))), case


@pytest.mark.parametrize("name", NAMES)
def test_a_station_starts_with_it_and_tells_a_blot(
    name: str, imported: dict[str, Imported]
) -> None:
    bundle = open_bundle(imported[name].bundle.folder)
    with load_engine(bundle, EngineSettings()) as engine:
        assert engine.info.backend == "openvino"
        Inspector(bundle, engine, DecisionSettings()).self_test()
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        bad = scorer.score(frame(203, "blot", name)).score
    assert bad > bundle.thresholds.score.value


def test_the_bundle_says_what_it_was_made_of(imported: dict[str, Imported]) -> None:
    bundle = imported["padim"].bundle
    assert bundle.graph.files == ("models/anomalib.fp32.xml", "models/anomalib.fp32.bin")
    (parity,) = bundle.manifest.parity
    assert parity.reference.startswith("anomalib's export on openvino ")
    assert (parity.backend, parity.passed) == ("openvino", True)
    card = (bundle.folder / "card.md").read_text()
    assert "imported from model.xml (" in card
    assert "), model.bin (" in card
    assert "quantized" not in card


def test_the_map_of_a_cropping_model_lies_over_the_whole_frame(
    imported: dict[str, Imported],
) -> None:
    made = imported["patchcore"]
    assert tuple(made.facts.area) == (4, 4, 4, 4)
    assert imported["padim"].facts.area.is_whole
    assert made.bundle.graph.outputs[0].shape == (1, 72, 72)
    with load_engine(made.bundle, EngineSettings()) as engine:
        scorer = FrameScorer(engine, made.bundle.recipe, made.bundle.graph)
        found = scorer.score(frame(204, "blot", "patchcore")).map.copy()
    row, column = np.unravel_index(found.argmax(), found.shape)
    # The blot of seed 204 is around column 56 of 96 and row 40 of 80.
    assert abs(column * 96 / 72 - 56) < 10
    assert abs(row * 80 / 72 - 40) < 10
    assert not found[:4].any()


def test_values_in_half_precision_are_read(tmp_path: Path, imported: dict[str, Imported]) -> None:
    path = write_ir("padim_raw", tmp_path / "half", in_half=True)
    request = ImportRequest(path, write_good(tmp_path / "good", "padim_raw"), alpha=0.2)
    made = import_export(request, tmp_path / "bundle", quiet)
    whole = imported["padim_raw"].calibration.scores
    assert made.calibration.scores == pytest.approx(whole, rel=0.01)
    assert made.calibration.scores != whole


def test_one_picture_fills_a_batch_of_two(
    irs: dict[str, Path], tmp_path: Path, imported: dict[str, Imported]
) -> None:
    path = edited(irs["padim_raw"], tmp_path, lambda model: model.reshape([2, 3, 64, 64]))
    request = ImportRequest(path, write_good(tmp_path / "good", "padim_raw"), alpha=0.2)
    made = import_export(request, tmp_path / "bundle", quiet)
    whole = imported["padim_raw"].calibration.scores
    assert made.calibration.scores == pytest.approx(whole, rel=1e-5)
    assert "takes 2 pictures at once" in (tmp_path / "bundle" / "card.md").read_text()


def test_a_larger_batch_is_refused(irs: dict[str, Path], tmp_path: Path) -> None:
    path = edited(irs["padim_raw"], tmp_path, lambda model: model.reshape([16, 3, 64, 64]))
    with pytest.raises(ExportError, match="fixed at 16"):
        read_export(path)


def test_other_inputs_and_outputs_are_refused(irs: dict[str, Path], tmp_path: Path) -> None:
    def other_input(model: Any) -> None:
        model.reshape([1, 3, 64, 64])
        ends = openvino.preprocess.PrePostProcessor(model)
        ends.input().tensor().set_element_type(openvino.Type.u8)
        ends.build()

    with pytest.raises(ExportError, match=r"float, found \[1, 3, 64, 64\] of u8"):
        read_export(edited(irs["padim_raw"], tmp_path, other_input))

    def other_output(model: Any) -> Any:
        (kept,) = (result for result in model.get_results() if "pred_score" in _names(result))
        return openvino.Model([kept], model.get_parameters(), "one")

    with pytest.raises(ExportError, match=r"found 1 inputs and the outputs pred_score$"):
        read_export(edited(irs["padim_raw"], tmp_path, other_output))


def _names(result: Any) -> set[str]:
    return set(result.output(0).get_names())


def test_a_quantized_export_is_told_and_its_crop_is_still_exact(
    irs: dict[str, Path], tmp_path: Path
) -> None:
    from openvino import opset13 as ops

    def quantize(model: Any) -> None:
        (first, *_) = (op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")
        low, high = np.float32(-3), np.float32(3)
        rounded = ops.fake_quantize(first.input_value(0), low, high, low, high, 8)
        first.input(0).replace_source_output(rounded.output(0))

    export = OpenVinoExport(edited(irs["patchcore"], tmp_path, quantize))
    assert export.is_quantized
    assert tuple(find_seen_area(export.first_convolved(), (96, 80), (64, 64))) == (4, 4, 4, 4)
    assert not OpenVinoExport(irs["patchcore"]).is_quantized


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no values", r"model\.bin: .* is missing"),
        ("few values", "OpenVINO cannot read it: Incorrect weights"),
        ("no xml", r"model\.xml: no such file"),
        ("empty", "model.xml: expected the XML of an OpenVINO IR"),
        ("other operators", "which needs an extension"),
    ],
)
def test_damaged_files_are_refused_in_one_line(
    damage: str, words: str, irs: dict[str, Path], tmp_path: Path
) -> None:
    source = irs["padim_raw"]
    path = shutil.copytree(source.parent, tmp_path / "ir") / source.name
    values = path.with_suffix(".bin")
    if damage == "no values":
        values.unlink()
    elif damage == "few values":
        values.write_bytes(values.read_bytes()[:100])
    elif damage == "no xml":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.write_text(path.read_text().replace("opset8", "mine", 1))
    with pytest.raises(ExportError, match=words) as caught:
        read_export(path)
    assert "\n" not in str(caught.value)


def test_no_name_or_path_of_the_exporter_is_left_in_the_graph(
    irs: dict[str, Path], tmp_path: Path
) -> None:
    def noted(model: Any) -> None:
        model.set_rt_info("/home/me/model.onnx", ["conversion_parameters", "input_model"])

    path = edited(irs["padim_raw"], tmp_path, noted)
    request = ImportRequest(path, write_good(tmp_path / "good", "padim_raw"), alpha=0.2)
    bundle = import_export(request, tmp_path / "bundle", quiet).bundle
    assert b"/home/me" in path.read_bytes()
    assert b"/home/me" not in bundle.path(bundle.graph.file).read_bytes()


def test_without_openvino_there_is_one_line(
    irs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> str:
        raise EngineLoadError("OpenVINO: not installed")

    monkeypatch.setattr(openvino_export, "openvino_version", absent)
    with pytest.raises(EngineLoadError, match="not installed"):
        read_export(irs["padim_raw"])
