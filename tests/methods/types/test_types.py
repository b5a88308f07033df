"""Types for INP-Former runs: labelled regions, their regression on text, and the line's names."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge.bundle.store import open_bundle
from edge.cameras.simulator.image_set import write_conveyor_set
from edge.config.station import EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.data.products import read_products
from edge.engines.load import load_engine
from edge.errors import TrainingError
from edge.evaluation.evaluate import evaluate
from edge.methods.inp_former import labelled_defects
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.types.fit import Request, fit_types
from edge.methods.types.naming import types_by_name
from edge.methods.types.network import TypeBranch, text_rows
from edge.methods.types.regions import Regions, defect_level
from edge.methods.types.regression import solve, unseen
from edge.networks.text.bank import TextBank
from edge.networks.text.minilm import MiniLm
from edge.toolchain.packing.card import card_text
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from tests.support.bundles import DEMO_BUNDLE

SHAPE = InputShape((160, 128))


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def branch() -> TypeBranch:
    torch.manual_seed(0)
    built = TypeBranch(channels=10, text_width=6, types=3, grid_hw=(4, 5))
    for buffer in (built.weight, built.bias, built.centre, built.bank):
        buffer.copy_(torch.randn_like(buffer))
    built.scale.copy_(torch.rand(10) + 0.5)
    return built.eval()


def test_the_logit_of_a_mean_token_is_the_mean_of_logits() -> None:
    built, tokens = branch(), torch.randn(2, 20, 10)
    logits = built(tokens)
    assert logits.shape == (2, 4, 4, 5)
    mean = tokens.mean(1)
    expected = ((mean - built.centre) / built.scale @ built.weight + built.bias) @ built.bank.T
    assert torch.allclose(logits.mean((2, 3)), expected, atol=1e-4)


def test_in_the_graph_only_one_product_is_left(tmp_path: Path) -> None:
    built, tokens = branch(), torch.randn(1, 20, 10)
    path = tmp_path / "b.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(built, (tokens,), str(path), dynamo=True, opset_version=20, verbose=False)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("MatMul") + operators.count("Gemm") == 1, operators
    session = onnxruntime.InferenceSession(path)
    found = session.run(None, {session.get_inputs()[0].name: tokens.numpy()})[0]
    assert np.allclose(found, built(tokens).numpy(), atol=1e-5)


def test_the_region_of_a_known_defect_is_the_one_under_its_mask() -> None:
    level = np.zeros((20, 20), np.float32)
    level[2:5, 2:5], level[12:16, 12:16] = 5.0, 2.0
    mask = np.zeros((40, 40), np.bool_)
    mask[26:30, 26:30] = True
    under = defect_level(level, mask, threshold=1.0)
    assert set(np.argwhere(under)[:, 0]) == set(range(12, 16))
    whole = defect_level(level, None, threshold=1.0)
    assert set(np.argwhere(whole)[:, 0]) == set(range(2, 5))
    faint = defect_level(level / 100, mask, threshold=1.0)
    assert (faint > 0).sum() == 16, "below the threshold, its own peak decides"
    unseen = defect_level(level * 0, mask, threshold=1.0)
    assert set(np.argwhere(unseen)[:, 0]) == {13, 14}, "nothing on the map: the mask itself"


def blobs(parts: int, *, by_part: bool) -> Regions:
    """Tokens of two types; told apart by their type, or by nothing but their part."""
    rng = np.random.default_rng(0)
    tokens, labels, groups = [], [], []
    for part in range(parts):
        label = ("crack", "hole")[part % 2]
        middle = np.zeros(30)
        middle[part % 2] = 0 if by_part else 4
        own = rng.normal(0, 4, 30) if by_part else np.zeros(30)
        for _ in range(4):
            tokens.append(middle + own + rng.normal(0, 0.3, 30))
            labels.append(label)
            groups.append(f"p/{part}")
    return Regions(np.array(tokens, np.float32), tuple(labels), tuple(groups))


ROWS = torch.nn.functional.normalize(
    torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), dim=-1
)


def test_regression_names_what_it_learned_and_whole_parts_are_left_out() -> None:
    types = ("crack", "hole")
    easy, hard = blobs(20, by_part=False), blobs(20, by_part=True)
    weight, bias, centre, scale = solve(easy, types, ROWS)
    logits = ((torch.from_numpy(easy.tokens) - centre) / scale @ weight + bias) @ ROWS.T
    assert [("good", *types)[i] for i in logits.argmax(1)] == list(easy.labels)
    assert unseen(easy, types, ROWS, lambda _: None).accuracy(ROWS) == 1.0
    # Sister regions of a part are all alike here: seen ones would give the answer away.
    assert unseen(hard, types, ROWS, lambda _: None).accuracy(ROWS) < 0.8


def test_a_rare_type_weighs_as_much_as_a_common_one() -> None:
    rng = np.random.default_rng(1)
    tokens = np.concatenate([rng.normal(0, 1, (400, 8)), rng.normal(0.8, 1, (12, 8))])
    regions = Regions(
        tokens.astype(np.float32), ("crack",) * 400 + ("hole",) * 12, ("p",) * len(tokens)
    )
    weight, bias, centre, scale = solve(regions, ("crack", "hole"), ROWS)
    logits = ((torch.from_numpy(regions.tokens) - centre) / scale @ weight + bias) @ ROWS.T
    assert (logits[400:].argmax(1) == 2).float().mean() > 0.75


def test_names_that_the_table_merges_keep_their_own_words() -> None:
    bank = TextBank(MiniLm())
    names = ("scratch_head", "scratch_neck", "crack")
    kinds = types_by_name(bank, names)
    rows = bank.rows("bottle", [kinds[name] for name in names])
    assert float(rows[1] @ rows[2]) < 0.999
    assert kinds["crack"].nouns == bank.table.type_of("crack").nouns
    centred = text_rows(rows, rows.mean(0))
    assert torch.allclose(centred.norm(dim=-1), torch.ones(4), atol=1e-5)


@pytest.fixture(scope="module")
def named(run: Path, plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "run"
    fit_types(Request(run=run, data=(plates,), labelled=2), folder, no_bar)
    return folder


def test_the_line_names_defects_that_were_not_learned_from(
    named: Path, plates: Path, tmp_path: Path
) -> None:
    record = read_record(named)
    images = read_image_set(plates)
    assert record.types is not None
    assert set(record.model.types) == set(images.defect_types)
    assert len(record.types.own_defects) == 2 * len(images.defect_types)
    bundle = pack_bundle(named, tmp_path / "bundle", PackOptions(), lambda _: None)
    assert bundle.recipe.type_evidence == "pooled"
    # Ten pictures decide nothing about naming: one more or less would.
    write_conveyor_set(
        tmp_path / "more", train_good=1, test_good=1, per_type=12, size_wh=(160, 128), seed=2
    )
    with load_engine(bundle, EngineSettings()) as engine:
        outcome, more = (
            evaluate(bundle, engine, each, lambda _: None)
            for each in (images, read_image_set(tmp_path / "more"))
        )
    assert outcome.defective == 2 * len(images.defect_types), "what taught types tests nothing"
    assert more.types is not None
    chance = 1 / len(images.defect_types)
    assert more.types.accuracy >= chance + 0.3


@pytest.mark.slow
def test_asked_for_names_only_the_verdicts_stay(run: Path, plates: Path, tmp_path: Path) -> None:
    fit_types(Request(run=run, data=(plates,), labelled=2, names_only=True), tmp_path, no_bar)
    before, after = (read_model(folder, read_record(folder)) for folder in (run, tmp_path))
    sample = read_image_set(plates).test[0]
    frames = torch.from_numpy(network_inputs(read_pixels(sample.path), SHAPE))
    with torch.no_grad():
        assert torch.equal(before(frames).map, after(frames).map)
    assert read_calibration(tmp_path) == read_calibration(run)
    assert read_record(tmp_path).types.probe is None


def test_the_map_learns_labelled_defects_and_is_calibrated_anew(
    run: Path, plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled_defects, "PICTURES", 12)
    record = fit_types(Request(run=run, data=(plates,)), tmp_path, no_bar)
    found = record.types.probe
    assert found is not None
    assert found.is_kept
    assert record.model.branches.probe == len(read_image_set(plates).defect_types)
    model, calibration = read_model(tmp_path, record), read_calibration(tmp_path)
    held_out = read_products([plates], record.training.seed).held_out
    inputs = [network_inputs(read_pixels(sample.path), SHAPE) for sample in held_out]
    with torch.no_grad():
        scores = torch.cat([model(torch.from_numpy(frames)).score for frames in inputs])
    assert calibration.scores == pytest.approx(scores.tolist(), abs=1e-4)
    assert calibration.scores != read_calibration(run).scores
    assert calibration.groups == tuple(sample.group for sample in held_out)
    demo = open_bundle(DEMO_BUNDLE)  # the rest of a card; packing takes long
    card = card_text(record, demo.recipe, demo.thresholds.score, demo.manifest.parity[0], "MIT")
    assert "also learned from 20 labelled defects" in card


def test_of_another_product_only_names_are_learned(run: Path, plates: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(plates, other)
    for folder in sorted((other / "test").glob("[!g]*"))[2:]:  # two types will do
        shutil.rmtree(folder)
    fit_types(Request(run=run, data=(other,)), tmp_path / "run", no_bar)
    assert read_record(tmp_path / "run").types.probe is None
    assert read_calibration(tmp_path / "run") == read_calibration(run)


def test_what_cannot_teach_is_refused(run: Path, plates: Path, tmp_path: Path) -> None:
    good_only = tmp_path / "plates" / "train" / "good"
    good_only.parent.mkdir(parents=True)
    good_only.symlink_to(plates / "train" / "good")
    with pytest.raises(TrainingError, match="no defect in test"):
        fit_types(Request(run=run, data=(tmp_path / "plates",)), tmp_path / "out", no_bar)
    with pytest.raises(TrainingError, match="is not empty"):
        fit_types(Request(run=run, data=(plates,)), run, no_bar)
