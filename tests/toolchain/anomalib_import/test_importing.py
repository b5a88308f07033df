"""Models that anomalib trained and exported judge in our line as in its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edge.bundle.store import open_bundle
from edge.config.station import DecisionSettings
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import DataError, ExportError, ThresholdError
from edge.inspection.inspector import Inspector
from edge.inspection.scorer import FrameScorer
from edge.picture_file import encode_picture
from edge.toolchain.anomalib_import.importing import Imported, import_export
from edge.toolchain.anomalib_import.request import ImportRequest
from tests.support.anomalib_exports import (
    FRAMES,
    MODELS,
    NAMES,
    frame,
    judged_cases,
    quiet,
    write_good,
)
from tests.support.bundles import ROOT


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    return {
        FRAMES[name]: write_good(tmp_path_factory.mktemp("good") / "plates", name)
        for name in ("padim", "padim_raw")
    }


@pytest.fixture(scope="module")
def imported(
    good: dict[tuple[int, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Imported]:
    made = {}
    for name in NAMES:
        request = ImportRequest(MODELS / f"{name}.onnx", good[FRAMES[name]], alpha=0.2)
        out = tmp_path_factory.mktemp("bundles") / name
        made[name] = import_export(request, out, quiet)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_anomalib(name: str, imported: dict[str, Imported]) -> None:
    bundle = imported[name].bundle
    graph = bundle.graph
    with OnnxEngine(bundle.path(graph.file), graph) as engine:
        scorer = FrameScorer(engine, bundle.recipe, graph)
        for case, pixels, expected in judged_cases(name):
            score = scorer.score(pixels).score
            assert score == pytest.approx(expected, abs=1e-4 * max(1, abs(expected))), case


@pytest.mark.parametrize("name", NAMES)
def test_a_station_starts_with_it_and_tells_a_blot(
    name: str, imported: dict[str, Imported]
) -> None:
    bundle = open_bundle(imported[name].bundle.folder)
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph) as engine:
        Inspector(bundle, engine, DecisionSettings()).self_test()
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        bad = scorer.score(frame(203, "blot", name)).score
    assert bad > bundle.thresholds.score.value


def test_the_map_of_a_cropping_model_lies_over_the_whole_frame(
    imported: dict[str, Imported],
) -> None:
    made = imported["patchcore"]
    # 72 x 72 cropped to 64 x 64: four cells are missing on every side.
    assert tuple(made.facts.area) == (4, 4, 4, 4)
    bundle = made.bundle
    assert bundle.graph.outputs[0].shape == (1, 72, 72)
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        found = scorer.score(frame(204, "blot", "patchcore")).map.copy()
    row, column = np.unravel_index(found.argmax(), found.shape)
    # The blot of seed 204 is around column 56 of 96 and row 40 of 80.
    assert abs(column * 96 / 72 - 56) < 10
    assert abs(row * 80 / 72 - 40) < 10
    card = (bundle.folder / "card.md").read_text()
    assert "sees 79% of the frame" in card


def test_a_whole_frame_is_taken_as_whole(imported: dict[str, Imported]) -> None:
    assert imported["padim"].facts.area.is_whole
    assert imported["padim_raw"].facts.area.is_whole


def test_the_card_tells_clamped_scores_and_the_own_threshold(
    imported: dict[str, Imported],
) -> None:
    card = (imported["padim"].bundle.folder / "card.md").read_text()
    assert "Scores are clamped to 0..1" in card
    assert "good pictures anomalous" in card
    raw = (imported["padim_raw"].bundle.folder / "card.md").read_text()
    assert "clamped" not in raw


def test_one_picture_fills_a_batch_of_two(
    good: dict[tuple[int, int], Path], tmp_path: Path, imported: dict[str, Imported]
) -> None:
    model = onnx.load(str(MODELS / "padim_raw.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, str(tmp_path / "two.onnx"))
    request = ImportRequest(tmp_path / "two.onnx", good[FRAMES["padim_raw"]], alpha=0.2)
    made = import_export(request, tmp_path / "bundle", quiet)
    assert made.calibration.scores == pytest.approx(
        imported["padim_raw"].calibration.scores, rel=1e-5
    )
    assert "takes 2 pictures at once" in (tmp_path / "bundle" / "card.md").read_text()


def test_a_larger_batch_is_refused(good: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    model = onnx.load(str(MODELS / "padim_raw.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 16
    onnx.save(model, str(tmp_path / "many.onnx"))
    request = ImportRequest(tmp_path / "many.onnx", good[FRAMES["padim_raw"]])
    with pytest.raises(ExportError, match="fixed at 16"):
        import_export(request, tmp_path / "bundle", quiet)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("model.bin", b"", r"expected the \.xml file of an OpenVINO IR, .* give model\.xml"),
        ("model.pt", b"x", "torch file"),
        ("model.onnx", b"not a model", "expected an ONNX model"),
    ],
)
def test_other_files_are_refused_in_one_line(
    file: str, content: bytes, words: str, good: dict[tuple[int, int], Path], tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    request = ImportRequest(tmp_path / file, good[FRAMES["padim"]])
    with pytest.raises(ExportError, match=words) as caught:
        import_export(request, tmp_path / "bundle", quiet)
    assert "\n" not in str(caught.value)


def test_other_outputs_are_refused(good: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    detect = ROOT / "tests" / "models" / "detect.onnx"
    request = ImportRequest(detect, good[FRAMES["padim"]])
    with pytest.raises(ExportError, match="found 1 inputs and the outputs map, score"):
        import_export(request, tmp_path / "bundle", quiet)


def test_a_model_whose_good_parts_all_have_the_highest_score_is_refused(
    good: dict[tuple[int, int], Path], tmp_path: Path
) -> None:
    model = onnx.load(str(MODELS / "padim.onnx"))
    nodes = list(model.graph.node)
    place = next(i for i, node in enumerate(nodes) if "pred_score" in node.output)
    nodes[place].output[:] = ["before"]
    nodes[place + 1 : place + 1] = [
        helper.make_node("Abs", ["before"], ["positive"]),
        helper.make_node("Max", ["positive", "one"], ["pred_score"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0]))
    onnx.save(model, str(tmp_path / "one.onnx"))
    request = ImportRequest(tmp_path / "one.onnx", good[FRAMES["padim"]])
    with pytest.raises(ThresholdError, match="24 of 24 good pictures have the score 1"):
        import_export(request, tmp_path / "bundle", quiet)


def test_pictures_of_several_sizes_need_the_size_of_the_input(tmp_path: Path) -> None:
    for seed in range(6):
        pixels = frame(seed, None, "padim")[: 80 - seed]
        (tmp_path / f"{seed}.png").write_bytes(encode_picture(np.ascontiguousarray(pixels)))
    request = ImportRequest(MODELS / "padim.onnx", tmp_path)
    with pytest.raises(DataError, match="--input"):
        import_export(request, tmp_path / "bundle", quiet)


def test_no_stack_trace_of_the_exporter_is_left_in_the_graph(
    good: dict[tuple[int, int], Path], tmp_path: Path
) -> None:
    model = onnx.load(str(MODELS / "padim_raw.onnx"))
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/a.py")
    onnx.save(model, str(tmp_path / "traced.onnx"))
    request = ImportRequest(tmp_path / "traced.onnx", good[FRAMES["padim_raw"]], alpha=0.2)
    bundle = import_export(request, tmp_path / "bundle", quiet).bundle
    assert b"/home/me" not in bundle.path(bundle.graph.file).read_bytes()
