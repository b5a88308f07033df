"""edge-recipe add-type: one more type by its word, for runs of every method that names types."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from edge.bundle.store import Bundle, open_bundle
from edge.cli.recipe import app
from edge.data.frames import InputShape, network_inputs
from edge.data.golden_pictures import write_golden
from edge.data.image_set import read_image_set, read_pixels
from edge.data.record import DataRecord
from edge.errors import EdgeError, ToolchainError, TrainingError
from edge.methods.added_types import with_added
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import InpFormerNet, ModelSettings
from edge.methods.method import Network
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import read_model, read_record, write_model, write_record
from edge.methods.run_record import AdapterRecord, RunRecord
from edge.methods.types.fit import Request, fit_types
from edge.networks.backbones.settings import VitSettings
from edge.toolchain.packing.add_type import AddRequest, add_type
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.training.run_folder import Calibration, write_calibration
from tests.support.bundles import edit_json, make_bundle, sign, with_type_threshold

SIZE_WH = (96, 64)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="module")
def judging(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny random network that names nothing."""
    folder = tmp_path_factory.mktemp("runs") / "judging"
    vit = VitSettings(
        name="dinov2_registers", width=16, depth=2, heads=2, patch=8, taps=(0, 1), groups=1
    )
    net = InpFormerNet(width=16, depth=1, heads=2, mlp_ratio=1)
    settings = ModelSettings(size_wh=SIZE_WH, backbone=vit, inp_former=net)
    torch.manual_seed(0)
    detector = Detector(settings).eval()
    for name, value in detector.state_dict().items():
        if value.is_floating_point() and not name.startswith("fuse."):
            value.add_(0.1 * torch.randn_like(value))
    samples = read_image_set(plates).train[:10]
    pictures = [network_inputs(read_pixels(s.path), InputShape(SIZE_WH)) for s in samples]
    with torch.no_grad():
        scores = detector(torch.from_numpy(np.concatenate(pictures))).score.tolist()
    write_run(folder, record_of(settings), detector)
    names, parts = tuple(s.path.name for s in samples), tuple("0123456789")
    write_calibration(folder, Calibration(names, parts, tuple(scores), ((100.0, 30.0),) * 10))
    write_golden(folder, samples, scores, seed=0)
    return folder


def record_of(settings: ModelSettings | MultiAdsSettings) -> RunRecord:
    data = DataRecord(
        name="plates", train_images=10, train_groups=10, held_out_images=10, held_out_groups=10,
        has_groups=False, frame_wh=(160, 128),
    )  # fmt: skip
    learned = AdapterRecord(
        products=("plates",), vocabulary=("crack",), train_pictures=1, validation_pictures=1
    )
    return RunRecord(
        created_by="test", created_at="now", preset="lite", weights="random", data=data,
        model=settings, training=AdapterTraining(), adapters=learned,
    )  # fmt: skip


def write_run(folder: Path, record: RunRecord, detector: Network) -> None:
    folder.mkdir()
    write_record(folder, record)
    write_model(folder, detector)


@pytest.fixture(scope="module")
def naming(judging: Path, plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "run"
    fit_types(Request(run=judging, data=(plates,), labelled=1), folder, no_bar)
    return folder


@pytest.fixture(scope="module")
def bundle(naming: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "b"
    return pack_bundle(naming, folder, PackOptions(version="7"), lambda _: None)


def frames(count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    width, height = SIZE_WH
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def test_the_command_adds_a_type_and_moves_nothing_else(
    bundle: Bundle, naming: Path, tmp_path: Path
) -> None:
    out = tmp_path / "b2"
    command = ["add-type", str(bundle.folder), "rust", "--run", str(naming), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    assert "names rust too" in result.output.replace("\n", " ")
    new = open_bundle(out)
    assert new.recipe.defect_types == (*bundle.recipe.defect_types, "rust")
    assert new.recipe.model_copy(update={"defect_types": ()}) == bundle.recipe.model_copy(
        update={"defect_types": ()}
    )
    assert new.thresholds.score == bundle.thresholds.score
    assert new.manifest.version == "7"
    assert new.manifest.parity[0].passed
    assert new.graph.outputs[2].shape[1] == bundle.graph.outputs[2].shape[1] + 1
    for one, other in zip(new.golden_maps(), bundle.golden_maps(), strict=True):
        assert np.array_equal(one, other)
    assert open_bundle(bundle.folder).id == bundle.id


def test_graphs_that_are_left_out_are_told(bundle: Bundle, naming: Path, tmp_path: Path) -> None:
    """INT8 graphs are made anew only if pictures for that are given."""
    quantized = tmp_path / "quantized"
    shutil.copytree(bundle.folder, quantized)
    manifest = json.loads((quantized / "bundle.json").read_text())
    twin = {**manifest["graphs"][0], "file": "models/x.int8-cpu.onnx", "precision": "int8"}
    shutil.copyfile(quantized / manifest["graphs"][0]["file"], quantized / twin["file"])
    edit_json(quantized / "bundle.json", graphs=[*manifest["graphs"], {**twin, "form": "cpu"}])
    out = tmp_path / "b2"
    command = ["add-type", str(sign(quantized)), "rust", "--run", str(naming), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    assert "holds no INT8 graphs" in result.output.replace("\n", " ")


def test_only_the_bank_of_a_type_branch_grows(naming: Path) -> None:
    record = read_record(naming)
    before = read_model(naming, record)
    after, changed = with_added(before, record, ("rust", "bent pin"))
    assert isinstance(after, Detector)
    assert changed.model.types == (*record.model.types, "rust", "bent pin")
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    assert [name for name in old if not torch.equal(old[name], new[name][: len(old[name])]
            if new[name].dim() else new[name])] == []  # fmt: skip
    grown = [name for name in old if old[name].shape != new[name].shape]
    assert grown == ["types.bank"]
    rows = new["types.bank"]
    assert torch.allclose(rows.norm(dim=-1), torch.ones(len(rows)), atol=1e-5)
    assert float((rows[-1] - rows[-2]).abs().max()) > 1e-2
    with torch.no_grad():
        one, other = before(frames()), after(frames())
    kept = one.type_logits.shape[1]
    assert torch.equal(one.map, other.map)
    assert torch.equal(one.score, other.score)
    moved = (one.type_logits - other.type_logits[:, :kept]).abs().max()
    assert float(moved / one.type_logits.abs().max()) <= 1e-6
    alone, _ = with_added(before, record, ("rust",))
    assert torch.equal(alone.state_dict()["types.bank"], rows[:-1])


def tiny_multiads() -> tuple[MultiAdsDetector, RunRecord]:
    clip = ClipSettings(
        name="clip", width=16, depth=4, heads=2, patch=8, projection=12, position_grid=4,
        taps=(0, 1, 2, 3),
    )  # fmt: skip
    settings = MultiAdsSettings(
        size_wh=SIZE_WH, backbone=clip, text_width=384, product="plates", types=("crack", "hole")
    )
    torch.manual_seed(0)
    detector = MultiAdsDetector(settings).eval().requires_grad_(False)
    detector.bank.copy_(F.normalize(torch.randn(3, 384), dim=-1))
    return detector, record_of(settings)


def test_added_types_of_aligned_patches_name_but_do_not_judge() -> None:
    detector, record = tiny_multiads()
    after, changed = with_added(detector, record, ("rust", "bent pin"))
    assert isinstance(after, MultiAdsDetector)
    assert isinstance(changed.model, MultiAdsSettings)
    assert (changed.model.types, changed.model.added) == (("crack", "hole", "rust", "bent pin"), 2)
    with torch.no_grad():
        one, other = detector(frames()), after(frames())
        groups, _ = after.extract(frames())
        whole = after.adapters(groups, torch.cat([after.bank, after.added]))
    assert torch.equal(one.map, other.map)
    assert torch.equal(one.score, other.score)
    assert torch.equal(one.type_logits, other.type_logits[:, :3])
    # The mean over levels of exp(logit) / sum of exp(logits) of the bank, without overflow.
    ratios = [(level[..., 3:].double() - level[..., :3].double().logsumexp(-1, keepdim=True)).exp()
              for level in whole]  # fmt: skip
    expected = (sum(ratios) / 4).clamp_min(1e-6).log().mT.unflatten(-1, (8, 12))
    assert torch.allclose(other.type_logits[:, 3:].double(), expected, atol=1e-3)
    assert bool(torch.isfinite(other.type_logits).all())
    once, middle = with_added(detector, record, ("rust",))
    twice, _ = with_added(once, middle, ("bent pin",))
    assert torch.equal(twice.state_dict()["added"], after.state_dict()["added"])


@pytest.mark.slow
def test_a_second_graph_takes_one_type_after_another(judging: Path, tmp_path: Path) -> None:
    types_run = tmp_path / "types"
    detector, record = tiny_multiads()
    write_run(types_run, record, detector)
    options = PackOptions(types_run=types_run, added_types=("rust",))
    old = pack_bundle(judging, tmp_path / "b", options, lambda _: None)
    refused = {
        None: "by a graph of its own; give its run with --types",
        judging: r"--types .*judging: is not the run that models/types\.fp32\.onnx of b",
    }
    for run, problem in refused.items():
        with pytest.raises(ToolchainError, match=problem):
            add_type(AddRequest(old.folder, "pit", judging, run), tmp_path / "c", lambda _: None)
    made = add_type(
        AddRequest(old.folder, "pit", judging, types_run), tmp_path / "c", lambda _: None
    )
    assert made.bundle.recipe.defect_types == ("crack", "hole", "rust", "pit")
    card = (made.bundle.folder / "card.md").read_text()
    assert "without an example: rust, pit" in card
    assert made.bundle.types_graph is not None
    assert max(made.logit_difference, made.score_difference) <= 1e-6


def test_what_cannot_be_added_is_refused_in_one_line(
    bundle: Bundle, judging: Path, naming: Path, tmp_path: Path
) -> None:
    first = bundle.recipe.defect_types[0]
    cases = [
        (first.upper(), naming, TrainingError, f"expected a new one, {first!r} is there already"),
        ("good", naming, TrainingError, "expected a word for a defect"),
        (" ", naming, TrainingError, "expected a word for a defect"),
        ("rust", tmp_path / "none", TrainingError, r"none: not a run \(no run.yaml\)"),
        (
            "rust",
            judging,
            ToolchainError,
            "is not the run that models/inpformer",
        ),
    ]
    for word, run, kind, problem in cases:
        with pytest.raises(kind, match=problem) as refused:
            add_type(AddRequest(bundle.folder, word, run), tmp_path / "out", lambda _: None)
        assert "\n" not in str(refused.value)
    with pytest.raises(EdgeError, match="is no bundle; choose another"):
        add_type(AddRequest(bundle.folder, "rust", naming), judging, lambda _: None)
    assert not (tmp_path / "out").exists()


def test_thresholds_of_types_and_views_are_not_lost_on_the_way(tmp_path: Path) -> None:
    made = with_type_threshold(make_bundle(tmp_path, "own", threshold=0.5), "spur", [0.6] * 4, 0.2)
    request = AddRequest(made, "rust", tmp_path / "run")
    with pytest.raises(ToolchainError, match="add the type to the one before"):
        add_type(request, tmp_path / "out", lambda _: None)


def test_a_bundle_that_names_no_types_takes_none(judging: Path, tmp_path: Path) -> None:
    record = read_record(judging)
    with pytest.raises(TrainingError, match="names no types; teach it some"):
        with_added(read_model(judging, record), record, ("rust",))
    pack_bundle(judging, tmp_path / "b", PackOptions(), lambda _: None)
    with pytest.raises(ToolchainError, match="b: names no types; pack a run that does"):
        add_type(AddRequest(tmp_path / "b", "rust", judging), tmp_path / "c", lambda _: None)
