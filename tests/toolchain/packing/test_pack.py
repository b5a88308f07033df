"""Run -> bundle: export, threshold, parity, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge.bundle.frame_limits_file import read_frame_limits
from edge.bundle.manifest import GraphFile
from edge.bundle.operating_points import read_operating_points
from edge.bundle.store import open_bundle
from edge.cli.build import print_evidence
from edge.config.station import EngineSettings
from edge.data.augmentation import OTHER_SHIFT
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.load import load_engine
from edge.engines.protocol import EngineInfo
from edge.errors import ExportError, ParityError, ThresholdError, ToolchainError
from edge.evaluation.evaluate import evaluate
from edge.inspection.scorer import FrameScorer
from edge.methods.inp_former.detector import Detector
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_calibration
from edge.toolchain.packing import pack
from edge.toolchain.packing.export import OPSET, clean, export_detector
from edge.toolchain.packing.other_shifts import told, too_many
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.toolchain.packing.thresholds import fit_threshold, outlying
from edge.toolchain.parity import Outcome, compare


def no_bar(_done: int) -> None:
    return


@pytest.fixture(scope="module")
def bundle_folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "plates"
    pack_bundle(run, out, PackOptions(alpha=0.1, mm_per_px=0.2, licence="MIT"), no_bar)
    return out


def test_the_bundle_has_the_published_layout(bundle_folder: Path) -> None:
    files = {p.relative_to(bundle_folder).as_posix() for p in bundle_folder.rglob("*.*")}
    assert {
        "bundle.json", "recipe.yaml", "thresholds.json", "card.md", "calibration/scores.json",
        "models/inpformer.fp32.onnx", "golden/golden.json", "golden/maps.npz",
        "calibration/frames.json",
    } <= files  # fmt: skip
    bundle = open_bundle(bundle_folder)
    assert set(bundle.manifest.files) == files - {"bundle.json"}
    assert bundle.recipe.mm_per_px == 0.2
    assert bundle.recipe.frames is not None
    assert (bundle.recipe.frames.sizes(), bundle.recipe.frames.colour) == ("160x128", "colour")
    limits = read_frame_limits(bundle)
    assert limits is not None
    assert limits.frames == 40, "training and held-out parts"
    points = read_operating_points(bundle)
    assert points is not None
    assert [each.change for each in points.other_shifts] == list(OTHER_SHIFT)
    labels = [image.label for image in bundle.golden().images]
    assert labels == ["good", "good", "good", "scar", "spot", "cut_paste"]
    (parity,) = bundle.manifest.parity
    assert parity.passed
    assert parity.score_difference < 1e-4


def test_a_shift_that_rejects_too_many_is_told(
    run: Path, bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = open_bundle(bundle_folder)
    calibration = read_calibration(run)
    print_evidence(bundle, calibration)
    points = read_operating_points(bundle)
    assert points is not None
    worst = told(too_many(points.other_shifts, bundle.thresholds.score.alpha))
    assert worst, "the plates bear every shift: nothing is tested"
    assert f"in another shift: {worst} would be rejected" in capsys.readouterr().out


def test_the_graph_is_portable_and_says_nothing_of_this_machine(bundle_folder: Path) -> None:
    path = bundle_folder / "models" / "inpformer.fp32.onnx"
    model = onnx.load(str(path))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    (frame,) = model.graph.input
    shape = [d.dim_value for d in frame.type.tensor_type.shape.dim]
    assert (frame.name, shape) == ("frame", [1, 128, 160, 3])
    assert frame.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [output.name for output in model.graph.output] == ["map", "score"]
    assert {p.key for p in model.metadata_props} == {"bundle", "version", "weights_sha256"}
    data = path.read_bytes()
    for trace in (b".py", b"/home", b"/root", b"site-packages"):
        assert trace not in data
    kinds = {node.op_type for node in model.graph.node}
    assert "LayerNormalization" in kinds
    # What TensorRT's parsers refuse; see the engine notes.
    assert not kinds & {"NonZero", "ScatterND", "If", "Loop"}
    for node in model.graph.node:
        if node.op_type == "Resize":
            assert not any(a.name == "antialias" and a.i for a in node.attribute)


def test_the_bundle_judges_as_the_trained_model(bundle_folder: Path, run: Path, plates: Path):
    """On pictures that neither training nor the golden set has seen, through the line's code."""
    from edge.data.frames import InputShape, network_inputs
    from edge.methods.run import read_model, read_record

    bundle = open_bundle(bundle_folder)
    detector = read_model(run, read_record(run))
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        for sample in read_image_set(plates).test[::5]:
            pixels = read_pixels(sample.path)
            scored = scorer.score(pixels)
            with torch.no_grad():
                truth = detector(torch.from_numpy(network_inputs(pixels, InputShape((160, 128)))))
            assert scored.score == pytest.approx(float(truth.score), abs=1e-4)
            assert np.abs(scored.map - truth.map[0].numpy()).max() < 1e-4


def test_evaluation_finds_the_defects(bundle_folder: Path, plates: Path) -> None:
    bundle = open_bundle(bundle_folder)
    with load_engine(bundle, EngineSettings()) as engine:
        result = evaluate(bundle, engine, read_image_set(plates), no_bar)
    assert result.image_auroc > 0.85
    assert result.pixel_auroc > 0.85
    assert result.aupro > 0.5
    assert (result.good, result.defective, result.masks) == (10, 20, 20)
    data = result.as_json()
    keys = {
        "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max",
        "aupro", "false_reject_rate", "per_type",
    }  # fmt: skip
    assert keys <= set(data)
    assert set(data["per_type"]) == {"scratch", "spot", "dent", "missing_hole", "smudge"}
    json.dumps(data, allow_nan=False)


def test_a_rate_that_the_good_parts_cannot_support_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ThresholdError, match=r"--alpha 0.01: \d+ held-out .* at least 99"):
        pack_bundle(run, tmp_path / "b", PackOptions(alpha=0.01), no_bar)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("n", "alpha", "rank", "stated"),
    [(99, None, 99, 0.01), (48, None, 48, 1 / 49), (500, None, 496, 0.01), (99, 0.05, 95, 0.05)],
)
def test_threshold_and_its_evidence(n: int, alpha: float | None, rank: int, stated: float) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(n) / n)
    threshold = fit_threshold(scores.tolist(), [str(i) for i in range(n)], alpha)
    assert (threshold.rank, threshold.n, threshold.groups) == (rank, n, n)
    assert threshold.alpha == pytest.approx(stated)
    assert threshold.value == pytest.approx((rank - 1) / n)


def test_pictures_of_one_part_are_not_counted_as_independent() -> None:
    scores = list(np.arange(120) / 120)
    alone = fit_threshold(scores, [str(i) for i in range(120)])
    grouped = fit_threshold(scores, [str(i // 6) for i in range(120)])
    assert grouped.value == alone.value
    assert grouped.bound95 > 3 * alone.bound95


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ThresholdError, match="finite"):
        fit_threshold([0.1, float("nan")], ["a", "b"])


INFO = EngineInfo("onnxruntime", "1", "fp32", "CPU", 1)


def test_good_parts_that_alone_hold_the_threshold_up_are_pointed_at():
    scores = [0.3 + 0.005 * (i % 20) for i in range(40)]
    usual = fit_threshold(scores, [str(i) for i in range(40)])
    assert outlying(scores, usual) == ()
    scores[7], scores[3] = 1.08, 1.14
    held_up = fit_threshold(scores, [str(i) for i in range(40)])
    assert outlying(scores, held_up) == (3, 7)
    # With a rate that they do not decide they are nobody's concern.
    assert outlying(scores, fit_threshold(scores, [str(i) for i in range(40)], 0.2)) == ()


def outcomes(scores: list[float], shift: float = 0.0) -> list[Outcome]:
    rng = np.random.default_rng(0)
    return [Outcome(rng.random((8, 8)).astype(np.float32) + shift, s) for s in scores]


@pytest.mark.parametrize(
    ("candidate", "passes"),
    [
        (outcomes([0.5, 1.5]), True),
        (outcomes([0.5, 1.5004]), True),
        (outcomes([0.5, 1.502]), False),  # score
        (outcomes([0.5, 1.5], shift=0.01), False),  # map
        (outcomes([0.5, float("nan")]), False),
        ([Outcome(o.map[::-1].copy(), o.score) for o in outcomes([0.5, 1.5])], False),
    ],
)
def test_parity_limits(candidate: list[Outcome], passes: bool) -> None:
    record = compare(outcomes([0.5, 1.5]), candidate, 1.0, INFO, "torch")
    assert record.passed is passes


@pytest.mark.parametrize(("off", "passes"), [(2e-6, True), (1e-4, False)])
def test_large_values_may_be_off_by_their_rounding(off: float, passes: bool) -> None:
    """A detector that is flat on good parts has a threshold far below the map of a defect."""
    sides = [
        [Outcome(o.map * 70 * shift, o.score * 70 * shift) for o in outcomes([0.5, 1.5])]
        for shift in (1.0, 1 + off)
    ]
    assert compare(*sides, 0.02, INFO, "torch").passed is passes
    small = [[Outcome(o.map, 0.001 + shift) for o in outcomes([0.5])] for shift in (0.0, 3e-5)]
    assert not compare(*small, 0.02, INFO, "torch").passed, "near the threshold it stays strict"


def test_a_flipped_verdict_fails_however_close_the_scores_are() -> None:
    record = compare(outcomes([0.99999]), outcomes([1.00001]), 1.0, INFO, "torch")
    assert record.verdict_flips == 1
    assert not record.passed


def break_conv(model: onnx.ModelProto) -> None:
    """Scale one convolution's weights, as a faulty conversion might."""
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim == 4 and array.shape[0] > 8:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * 1.1, tensor.name))
            return


def exported_before(bundle_folder: Path) -> Callable[[Detector, Path], GraphFile]:
    """In place of export_detector: exporting the same network once more takes long."""
    bundle = open_bundle(bundle_folder)

    def copied(_detector: Detector, path: Path) -> GraphFile:
        path.parent.mkdir(parents=True)
        shutil.copyfile(bundle.path(bundle.graph.file), path)
        return bundle.graph

    return copied


def test_a_graph_that_decides_otherwise_never_becomes_a_bundle(
    run: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "bundle"
    shutil.copytree(bundle_folder, good)
    before = (good / "bundle.json").read_bytes()
    export = exported_before(bundle_folder)

    def broken(detector: Detector, path: Path) -> GraphFile:
        graph = export(detector, path)
        model = onnx.load(str(path))
        break_conv(model)
        onnx.save(model, str(path))
        return graph

    monkeypatch.setattr(pack, "export_detector", broken)
    with pytest.raises(ParityError, match="does not decide as the trained model"):
        pack_bundle(run, good, PackOptions(alpha=0.1), no_bar)
    assert (good / "bundle.json").read_bytes() == before, "the old bundle stays"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"], "nothing is left behind"


def test_a_folder_that_is_no_bundle_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ToolchainError, match="exists and is no bundle"):
        pack_bundle(run, tmp_path, PackOptions(alpha=0.1), no_bar)
    assert (tmp_path / "thesis.txt").exists()


def test_another_opset_than_asked_for_is_noticed() -> None:
    model = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [], []), opset_imports=[onnx.helper.make_opsetid("", 18)]
    )
    with pytest.raises(ExportError, match=r"expected opset 20 only, the exporter wrote"):
        clean(model)


def test_tiled_frames_are_judged_tile_by_tile(
    run: Path, bundle_folder: Path, plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose recipe has tiles: the whole map is stitched and the worst tile decides."""
    monkeypatch.setattr(pack, "export_detector", exported_before(bundle_folder))
    tiled = tmp_path / "run"
    shutil.copytree(run, tiled)
    text = (tiled / "run.yaml").read_text()
    text = text.replace("tiles_wh: [1, 1]", "tiles_wh: [2, 2]").replace(
        "overlap: 0.0", "overlap: 0.1"
    )
    (tiled / "run.yaml").write_text(text)
    bundle = pack_bundle(tiled, tmp_path / "b", PackOptions(alpha=0.1), no_bar)
    pixels = read_pixels(next((plates / "test" / "good").iterdir()))
    with load_engine(bundle, EngineSettings()) as engine:
        scored = FrameScorer(engine, bundle.recipe, bundle.graph).score(pixels)
    height, width = bundle.graph.outputs[0].shape[1:]
    assert scored.map.shape[0] > 1.7 * height
    assert scored.map.shape[1] > 1.7 * width
    assert np.isfinite(scored.map).all()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["standard", "accurate"])
def test_transformer_presets_export_at_a_small_size(preset: str, tmp_path: Path) -> None:
    """True widths, random weights; torch and ONNX Runtime agree to the specification's 1e-4."""
    import onnxruntime

    settings = model_settings(find_preset(preset), (84, 56), "random")
    torch.manual_seed(0)
    detector = Detector(settings).eval()
    graph = export_detector(detector, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    frame = np.random.default_rng(0).integers(0, 255, graph.inputs[0].shape, np.uint8)
    anomaly_map, score = session.run(None, {"frame": frame})
    with torch.no_grad():
        truth = detector(torch.from_numpy(frame))
    assert np.abs(anomaly_map - truth.map.numpy()).max() < 1e-4
    assert score[0] == pytest.approx(float(truth.score), abs=1e-4)
