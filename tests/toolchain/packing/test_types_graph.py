"""A bundle with a second graph: packed, verified, refused, and measured."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from edge.bundle.manifest import GraphFile
from edge.bundle.store import OWN_PICTURES, Bundle, open_bundle
from edge.cameras.source import frame_now
from edge.cli.build import app as build
from edge.cli.eval import app as eval_
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.load import load_engine, load_types_engine
from edge.engines.protocol import EngineInfo
from edge.errors import DataError, ParityError, ToolchainError
from edge.evaluation.evaluate import evaluate, unseen
from edge.inspection.inspector import Inspector
from edge.inspection.type_naming import predicted_type
from edge.inspection.type_scorer import TypeScorer
from edge.methods.multiads.fit import fit
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.training_set import Request
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import read_model, read_record
from edge.toolchain.packing import pack
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.toolchain.parity import TOLERANCES, Outcome, compare

OWN = 2


def no_bar(_done: int) -> None:
    return


@pytest.fixture(scope="module")
def types_run(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Types of the plates from two labelled defects each, at another size than the run's."""
    folder = tmp_path_factory.mktemp("runs") / "types"
    training = AdapterTraining(epochs=4, least_steps=0, labelled=OWN)
    request = Request((plates,), plates, size_wh=(128, 96), memory_frames=2, training=training)
    fit(request, folder, lambda _stage, _total: no_bar)
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, types_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As the command builds it."""
    out = tmp_path_factory.mktemp("bundles") / "plates"
    arguments = [str(run), "--types", str(types_run), "--out", str(out), "--alpha", "0.1"]
    done = CliRunner().invoke(build, arguments)
    assert done.exit_code == 0, done.exception
    assert ", types within " in done.stdout
    return open_bundle(out)


def test_the_bundle_holds_both_graphs(bundle: Bundle, run: Path, types_run: Path) -> None:
    settings = read_record(types_run).model
    assert [(g.file, g.role) for g in bundle.manifest.graphs] == [
        ("models/inpformer.fp32.onnx", "detect"),
        ("models/types.fp32.onnx", "types"),
    ]
    assert bundle.manifest.method == "inp-former"
    assert bundle.recipe.defect_types == settings.types
    assert bundle.recipe.size_wh == (160, 128)
    assert bundle.recipe.types_size_wh == (128, 96)
    assert bundle.types_graph is not None
    (logits,) = bundle.types_graph.outputs
    assert (logits.name, logits.shape) == ("type_logits", (1, 1 + len(settings.types), 6, 8))
    (parity,) = bundle.manifest.parity
    assert parity.passed
    assert parity.type_difference is not None
    assert 0 <= parity.type_difference < 0.1 * TOLERANCES["fp32"].types
    own = json.loads(bundle.path(OWN_PICTURES).read_text())["pictures"]
    assert len(own) == OWN * len(settings.types)
    assert all(re.fullmatch(r"test/\w+/\d+\.png", name) for name in own)
    card = bundle.path("card.md").read_text()
    assert f"{len(own)} labelled pictures of this product" in card
    assert "128 x 96" in card
    weights = [
        next(p.value for p in onnx.load(str(bundle.path(g.file))).metadata_props
             if p.key == "weights_sha256")
        for g in bundle.manifest.graphs
    ]  # fmt: skip
    assert weights[0] != weights[1]


def test_the_types_graph_computes_nothing_else(bundle: Bundle, types_run: Path) -> None:
    """Neither the few-shot memory nor the map's branches are in the file."""
    assert bundle.types_graph is not None
    model = onnx.load(str(bundle.path(bundle.types_graph.file)))
    assert [output.name for output in model.graph.output] == ["type_logits"]
    detector = read_model(types_run, read_record(types_run))
    assert isinstance(detector, MultiAdsDetector)
    memory = {tuple(bank.shape) for bank in detector.memory}
    memory |= {shape[::-1] for shape in memory}
    assert not memory & {tuple(tensor.dims) for tensor in model.graph.initializer}
    assert "TopK" not in {node.op_type for node in model.graph.node}


def test_it_names_as_the_trained_model(bundle: Bundle, types_run: Path, plates: Path) -> None:
    detector = read_model(types_run, read_record(types_run))
    with load_types_engine(bundle, EngineSettings(threads=1)) as engine:
        assert engine is not None
        assert bundle.types_graph is not None
        scorer = TypeScorer(engine, bundle.types_graph)
        for sample in read_image_set(plates).test[::7]:
            pixels = read_pixels(sample.path)
            typed = scorer.score(pixels)
            with torch.no_grad():
                frame = network_inputs(pixels, InputShape((128, 96)))
                truth = detector(torch.from_numpy(frame)).type_logits[0].numpy()
            assert typed.logits is not None
            assert np.abs(typed.logits - truth).max() < 1e-3
            assert typed.infer_ms > 0


def test_golden_pictures_have_the_names_that_the_line_gives(bundle: Bundle) -> None:
    """Those that fail are called something, as the reference calls them; the others nothing."""
    settings = EngineSettings(threads=1)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspector = Inspector(bundle, engine, DecisionSettings(), types)
        inspector.self_test()
        for image in bundle.golden().images:
            frame = frame_now("golden", 0, bundle.golden_pixels(image))
            inspection, _ = inspector.inspect(frame)
            name = predicted_type(inspection.regions) if inspection.regions else None
            assert (inspection.verdict.value, name) == (image.verdict, image.type)
    named = [image.type for image in bundle.golden().images if image.verdict == "fail"]
    assert named
    assert set(named) <= {*bundle.recipe.defect_types, "unknown"}


def test_own_pictures_are_left_out_of_everything(bundle: Bundle, plates: Path) -> None:
    images = read_image_set(plates)
    types = len(bundle.recipe.defect_types)
    settings = EngineSettings(threads=1)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as naming:
        result = evaluate(bundle, engine, images, no_bar, naming)
    assert result.left_out == OWN * types
    assert (result.good, result.defective) == (10, 20 - OWN * types)
    assert len(result.parts) == len(images.test) - OWN * types
    judged = {f"test/{i.sample.label}/{i.sample.path.name}" for i in result.parts}
    assert not judged & set(bundle.own_pictures)
    assert sum(row["n"] for row in result.per_type.values()) == result.defective
    assert result.types is not None
    assert result.types.confusion.counts.sum() == result.defective
    assert result.as_json()["left_out"] == OWN * types
    everything = tuple(f"test/{s.label}/{s.path.name}" for s in images.test)
    with pytest.raises(DataError, match=r"learned its types from all 30 pictures"):
        unseen(replace(bundle, own_pictures=everything), images)


def test_edge_eval_says_how_many_it_left_out(bundle: Bundle, plates: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    arguments = [str(bundle.folder), "--data", str(plates)]
    done = CliRunner().invoke(eval_, [*arguments, "--json", "--report", str(page)])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout.splitlines()[-1])["left_out"] == 10
    assert "10 test pictures are left out" in page.read_text()
    assert "models/types.fp32.onnx" in page.read_text()
    done = CliRunner().invoke(eval_, arguments)
    assert "left out: 10 test pictures" in done.stdout


def swap_types(path: Path) -> None:
    """Exchange the first two types in what the graph gives, as a wrong bank would."""
    model = onnx.load(str(path))
    graph = model.graph
    (output,) = [o for o in graph.output if o.name == "type_logits"]
    rows = np.arange(output.type.tensor_type.shape.dim[1].dim_value)
    rows[[1, 2]] = rows[[2, 1]]
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == "type_logits":
                node.output[index] = "unswapped"
    graph.initializer.append(onnx.numpy_helper.from_array(rows, "rows"))
    node = onnx.helper.make_node("Gather", ["unswapped", "rows"], ["type_logits"], axis=1)
    graph.node.append(node)
    onnx.save(model, str(path))


def test_a_graph_with_swapped_types_never_becomes_a_bundle(
    bundle: Bundle, run: Path, types_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both graphs as they were exported before, but for the swap."""

    def exported(graph: GraphFile | None, path: Path) -> GraphFile:
        assert graph is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path(graph.file), path)
        return graph

    def swapped(_namer, path: Path) -> GraphFile:
        graph = exported(bundle.types_graph, path)
        swap_types(path)
        return graph

    monkeypatch.setattr(pack, "export_detector", lambda _, path: exported(bundle.graph, path))
    monkeypatch.setattr(pack, "export_types", swapped)
    options = PackOptions(alpha=0.1, types_run=types_run)
    with pytest.raises(ParityError, match=r"types' probabilities by 0\.\d+, 0 of 6 verdicts"):
        pack_bundle(run, tmp_path / "b", options, no_bar)
    assert not (tmp_path / "b").exists()
    # Without the swap, the same graphs pass.
    monkeypatch.setattr(pack, "export_types", lambda _, path: exported(bundle.types_graph, path))
    assert pack_bundle(run, tmp_path / "b", options, no_bar).types_graph == bundle.types_graph


INFO = EngineInfo("onnxruntime", "1", "fp32", "CPU", 1)
MAP = np.random.default_rng(0).random((8, 8)).astype(np.float32)
# Normal prevails by far; which type comes second is all that tells the rows apart.
QUIET = np.zeros((3, 2, 2), np.float32)
QUIET[:, 0, 0] = 20, 4, 1


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        (QUIET, True),
        (QUIET + 7, True),  # logits are free up to a constant
        (QUIET + 1e-3 * np.sign(np.arange(3) - 1).astype(np.float32)[:, None, None], True),
        (QUIET[[0, 2, 1]], False),
        (QUIET[[1, 0, 2]], False),
        (np.where(QUIET == 4, np.nan, QUIET), False),
        (None, False),
    ],
)
def test_parity_of_types(found: np.ndarray | None, passes: bool) -> None:
    record = compare([Outcome(MAP, 0.5, QUIET)], [Outcome(MAP, 0.5, found)], 1.0, INFO, "torch")
    assert record.passed is passes
    assert record.type_difference is not None
    assert (record.type_difference <= TOLERANCES["fp32"].types) is passes


def copy_with(run: Path, folder: Path, old: str, new: str) -> Path:
    shutil.copytree(run, folder)
    text = (folder / "run.yaml").read_text()
    assert old in text
    (folder / "run.yaml").write_text(text.replace(old, new))
    return folder


def test_runs_that_do_not_fit_are_refused(run: Path, types_run: Path, tmp_path: Path) -> None:
    other = copy_with(types_run, tmp_path / "other", "name: plates", "name: bolts")
    tiled = copy_with(run, tmp_path / "tiled", "tiles_wh: [1, 1]", "tiles_wh: [2, 2]")
    cases = [
        (run, run, "expected a multiads or dapo run, found inp-former; train one with edge-train"),
        (run, other, "expected types of plates as RUN, found those of bolts; train them with"),
        (tiled, types_run, "names types on whole frames, RUN cuts them into 2x2 tiles"),
        (types_run, types_run, r"RUN \(multiads\) names types itself; leave --types out"),
    ]
    for judging, naming, problem in cases:
        arguments = [str(judging), "--types", str(naming), "--out", str(tmp_path / "b")]
        done = CliRunner().invoke(build, arguments)
        assert isinstance(done.exception, ToolchainError), problem
        assert re.search(problem, str(done.exception)), str(done.exception)
        assert "\n" not in str(done.exception)
        assert not (tmp_path / "b").exists()
