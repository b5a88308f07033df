from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, hold_out, read_image_set, read_pixels
from edge.data.labelled_pictures import TypedPicture
from edge.engines.load import load_engine
from edge.errors import ConfigError, TrainingError
from edge.evaluation.evaluate import evaluate
from edge.frame import GOOD
from edge.methods.multiads.fit import fit, validation_ap
from edge.methods.multiads.inputs import TypedInputs, draw_mosaics, prepare
from edge.methods.multiads.network import MultiAdsDetector, TypeAdapters, level_volumes
from edge.methods.multiads.presets import (
    CLIP_PRESETS,
    level_blocks,
    multiads_settings,
    text_encoder,
)
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.methods.multiads.trainer import AdapterTrainer, Shapes, epoch_order
from edge.methods.multiads.training_set import Request, plan, target_types
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import read_calibration, read_model, read_record
from edge.networks.text.minilm import MiniLm
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.training.checkpoint import CHECKPOINT
from edge.training.feature_cache import FeatureCache


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def sample(label: str, group: str, mask: Path | None = Path("m.png")) -> Sample:
    return Sample(Path(f"{label}-{group}.png"), label, group, None if label == GOOD else mask)


@pytest.fixture
def flawed(tmp_path: Path) -> Sample:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 30:33] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    cv2.imwrite(str(tmp_path / "p.png"), np.full((40, 60, 3), 90, np.uint8))
    return Sample(tmp_path / "p.png", "crack", "1", tmp_path / "m.png")


def tiny_detector() -> MultiAdsDetector:
    clip = ClipSettings(
        name="clip", width=16, depth=4, heads=2, patch=8, projection=12, position_grid=4,
        taps=(0, 1, 2, 3),
    )  # fmt: skip
    settings = MultiAdsSettings(
        size_wh=(48, 32), backbone=clip, text_width=12, product="p", types=("crack", "hole")
    )
    torch.manual_seed(0)
    return MultiAdsDetector(settings).eval().requires_grad_(False)


def test_image_vectors_without_a_share_need_not_fit_the_bank() -> None:
    """CLIP with random weights goes with another text encoder, of another width."""
    fitting = tiny_detector().settings
    detector = MultiAdsDetector(fitting.model_copy(update={"text_width": 10})).eval()
    frames = torch.zeros((3, 32, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        groups, images = detector.extract(frames)
        assert images is not None
        branches = detector.branches(groups, detector.adapters(groups, detector.bank))
        detector.calibrate(branches, images)
        score = detector.judge(branches, images)[1]
    assert images.shape == (3, 12)
    assert torch.isfinite(score).all()


def test_mosaics_are_cached_with_the_ids_of_their_tiles(flawed: Sample, tmp_path: Path) -> None:
    good = Sample(flawed.path, GOOD, "2")
    pictures = [TypedPicture(flawed, 0, 1), TypedPicture(flawed, 0, 2), TypedPicture(good, 0, 0)]
    detector, done = tiny_detector(), []
    inputs = prepare(tmp_path / "f", detector, pictures, [(0, 1, 2, 2)], "tiny", done.append)
    assert (inputs.pictures, len(inputs.features), sum(done)) == (3, 4, 4)
    groups, ids, products = inputs.batch([3, 0])
    assert [tuple(group.shape) for group in groups] == [(2, 24, 16)] * 4
    assert set(ids[0, :8, :12].unique().tolist()) == {0, 1}
    assert set(ids[0, :8, 12:].unique().tolist()) == {0, 2}
    assert not ids[0, 8:].any()
    assert products.tolist() == [0, 0]
    alone = detector.extract(
        torch.from_numpy(network_inputs(read_pixels(flawed.path), InputShape((48, 32))))
    )
    assert torch.allclose(groups[0][1], alone.groups[0][0], atol=2e-3)
    # What is there is reused; another mosaic or backbone is computed anew.
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "f").glob("group*"))]
    prepare(tmp_path / "f", detector, pictures, [(0, 1, 2, 2)], "tiny", done.append)
    assert stamps == [path.stat().st_mtime_ns for path in sorted((tmp_path / "f").glob("group*"))]
    changed = prepare(tmp_path / "f", detector, pictures, [(1, 1, 1, 1)], "tiny", done.append)
    assert set(changed.batch([3])[1].unique().tolist()) == {0, 2}


def test_mosaics_are_of_one_product() -> None:
    pictures = [TypedPicture(sample("crack", str(n)), n % 3, 1) for n in range(30)]
    mosaics = draw_mosaics(pictures, 0.2, np.random.default_rng(0))
    assert len(mosaics) == 6
    for chosen in mosaics:
        assert len({pictures[index].product for index in chosen}) == 1


def toy(
    folder: Path, epochs: int = 6, seed: int = 0, mosaics: int = 5
) -> tuple[AdapterTrainer, TypedInputs]:
    """Two levels of random features in which class 1 and 2 have a direction of their own."""
    rng = np.random.default_rng(0)
    count = 20 + mosaics
    ids = np.zeros((count, 6, 8), np.uint8)
    ids[:10, :3] = 1
    ids[10:, 3:] = 2
    cells = ids[:, ::2, ::2].reshape(count, -1)
    arrays = []
    for channels in (8, 12):
        centres = rng.normal(size=(3, channels))
        arrays.append(
            (centres[cells] + 0.3 * rng.normal(size=(*cells.shape, channels))).astype(np.float16)
        )
    inputs = TypedInputs(FeatureCache(arrays), ids, np.zeros(count, np.int64), 20)
    torch.manual_seed(0)
    # Text vectors of one product lie close together.
    banks = F.normalize(torch.randn(10) + 0.2 * torch.randn(1, 3, 10), dim=-1)
    settings = AdapterTraining(epochs=epochs, least_steps=0, batch=6, seed=seed, lr=0.01)
    folder.mkdir(exist_ok=True)
    shapes = Shapes((3, 4), (6, 8), "softmax-first")
    return AdapterTrainer(TypeAdapters((8, 12), 10), banks, shapes, settings, folder), inputs


def accuracy(trainer: AdapterTrainer, inputs: TypedInputs) -> float:
    with torch.no_grad():
        groups, ids, _ = inputs.batch(range(20))
        logits = trainer.adapters(groups, trainer.banks[0])
        volume = sum(level_volumes(logits, (3, 4), (6, 8), "softmax-first"))
    return float((volume.argmax(1) == ids).float().mean())


def test_training_learns_the_types(tmp_path: Path) -> None:
    trainer, inputs = toy(tmp_path, epochs=30)
    before = accuracy(trainer, inputs)
    trainer.run(inputs, lambda: len(trainer.values), lambda _: None)
    assert accuracy(trainer, inputs) > max(0.75, before + 0.2)
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < 0.5 * losses[0]


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    trainer, inputs = toy(tmp_path, epochs=5)
    seen: list[torch.Tensor] = []

    def validate() -> float:
        seen.append(next(iter(trainer.parameters.values())).detach().clone())
        return [0.1, 0.5, 0.4, 0.5, 0.2][len(seen) - 1]

    trainer.run(inputs, validate, lambda _: None)
    assert trainer.best_epoch == 2
    assert torch.equal(next(iter(trainer.parameters.values())), seen[1])
    assert not torch.equal(seen[1], seen[4])


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    straight, inputs = toy(tmp_path / "a")
    straight.run(inputs, lambda: accuracy(straight, inputs), lambda _: None)

    class Interrupted(Exception):
        pass

    broken, _ = toy(tmp_path / "b")

    def interrupt(_: int) -> None:
        if len(broken.values) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        broken.run(inputs, lambda: accuracy(broken, inputs), interrupt)
    resumed, _ = toy(tmp_path / "b")
    done: list[int] = []
    resumed.run(inputs, lambda: accuracy(resumed, inputs), done.append)
    assert done[0] == 3 * 20, "goes on after the last whole epoch"
    assert resumed.values == straight.values
    assert resumed.best_epoch == straight.best_epoch
    for name, value in straight.parameters.items():
        assert torch.equal(value, resumed.parameters[name]), name
    other, _ = toy(tmp_path / "b", seed=1)
    with pytest.raises(TrainingError, match="other training settings"):
        other.run(inputs, lambda: 0.0, lambda _: None)
    resumed.clear()
    assert not (tmp_path / "b" / CHECKPOINT).exists()


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    trainer, inputs = toy(tmp_path)
    inputs.features.arrays[0][:] = np.nan
    with pytest.raises(TrainingError, match="epoch 1: the loss is nan; lower the learning rate"):
        trainer.run(inputs, lambda: 0.0, lambda _: None)


def test_every_picture_comes_once_per_epoch_unless_a_mosaic_stands_in(tmp_path: Path) -> None:
    _, inputs = toy(tmp_path, mosaics=0)
    settings = AdapterTraining(mosaic=0.5)
    assert sorted(epoch_order(inputs, settings, 0)) == list(range(20))
    assert epoch_order(inputs, settings, 0) != epoch_order(inputs, settings, 1)
    _, inputs = toy(tmp_path)
    drawn = [index for epoch in range(100) for index in epoch_order(inputs, settings, epoch)]
    assert np.mean(np.array(drawn) >= 20) == pytest.approx(0.5, abs=0.05)
    assert max(drawn) == 24


def test_small_sets_take_more_epochs() -> None:
    settings = AdapterTraining(epochs=10, least_steps=400, batch=8)
    assert settings.epochs_over(1725) == 10
    assert settings.epochs_over(80) == 40
    assert settings.epochs_over(81) == 37


def test_validation_is_over_each_products_own_list(tmp_path: Path) -> None:
    """A type that no product of the pictures lists takes no part in the softmax."""
    trainer, inputs = toy(tmp_path, epochs=1)
    detector = tiny_detector()
    detector.levels = 2
    detector.features.grid_hw, detector.map_hw = (3, 4), (6, 8)
    banks = torch.cat([trainer.banks, trainer.banks[:, 1:2] * 0.999], 1)
    with_twin = validation_ap(detector, trainer.adapters, inputs, banks, [(0, 1, 2)])
    assert with_twin == pytest.approx(
        validation_ap(detector, trainer.adapters, inputs, trainer.banks, [(0, 1, 2)])
    )


def test_presets() -> None:
    assert level_blocks(24) == (5, 11, 17, 23)
    assert level_blocks(12) == (2, 5, 8, 11)
    large = multiads_settings(
        "accurate", CLIP_PRESETS["accurate"].weights, (640, 640), None, "p", ("crack",), 768
    )
    assert large.size_wh == (518, 518)
    assert large.image_share == 0.5
    wide = multiads_settings("standard", "random", (1600, 900), None, "p", ("crack",), 512, 2)
    assert wide.size_wh == (512, 288)
    assert wide.memory == 2 * 32 * 18
    lite = multiads_settings("lite", "package", (256, 256), None, "p", ("crack",), 384)
    assert lite.size_wh == (320, 320)
    assert lite.image_share == 0
    assert isinstance(text_encoder("lite", "package"), MiniLm)


@pytest.fixture(scope="module")
def request_(plates: Path) -> Request:
    training = AdapterTraining(epochs=6, least_steps=0, labelled=3)
    return Request((plates,), plates, size_wh=(160, 128), memory_frames=2, training=training)


@pytest.fixture(scope="module")
def typed_run(request_: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "typed"
    fit(request_, folder, no_bar)
    return folder


def test_a_plan_keeps_test_pictures_apart(request_: Request, plates: Path) -> None:
    target = read_image_set(plates)
    good, held_out = hold_out(target.train, target.has_groups, 0)
    training_set = plan(request_, target, good)
    used = [picture.sample for picture in (*training_set.train, *training_set.validation)]
    assert not {s.path for s in used} & {s.path for s in held_out}
    assert not {s.path for s in used} & {s.path for s in target.test if s.is_good}
    assert len(training_set.own) == 3 * len(target.defect_types)
    assert sum(s.is_good for s in used) == len(training_set.own)
    rows = {p.sample.label: p.row for p in training_set.train}
    assert rows[GOOD] == 0
    assert sorted(rows.values()) == list(range(1 + len(training_set.vocabulary)))
    bare = read_image_set(plates / "train" / "good")
    with pytest.raises(TrainingError, match="no defect with a mask"):
        plan(Request((plates / "train" / "good",)), bare, bare.train)


def test_target_types_keep_the_folders_names(request_: Request, plates: Path) -> None:
    target = read_image_set(plates)
    training_set = plan(request_, target, target.train)
    assert set(target_types(request_, target, training_set)) == set(target.defect_types)
    named = Request((plates,), types=("spur", "scratch_neck", "crack", "scratch_head"))
    assert target_types(named, target, training_set) == ("scratch", "crack", "spur")
    bare = read_image_set(plates / "train" / "good")
    assert target_types(request_, bare, training_set) == tuple(
        k.name for k in training_set.vocabulary
    )


def test_a_finished_run_judges_as_it_was_calibrated(typed_run: Path, plates: Path) -> None:
    names = {path.name for path in typed_run.iterdir()}
    assert names == {
        "run.yaml", "model.safetensors", "calibration.json", "frames.npz", "golden", "log.jsonl"
    }  # fmt: skip
    record, calibration = read_record(typed_run), read_calibration(typed_run)
    assert record.adapters is not None
    assert record.adapters.products == ("plates",)
    assert len(record.adapters.own_defects) == 3 * len(record.adapters.vocabulary)
    assert record.adapters.best_epoch is not None
    detector = read_model(typed_run, record)
    assert isinstance(detector, MultiAdsDetector)
    assert len(detector.memory) == 4
    for name, score in list(zip(calibration.files, calibration.scores))[:3]:
        pixels = read_pixels(plates / "train" / "good" / name)
        with torch.no_grad():
            judged = detector(torch.from_numpy(network_inputs(pixels, InputShape((160, 128)))))
        assert float(judged.score) == pytest.approx(score, abs=1e-4)


def test_the_run_finds_defects_that_it_has_not_seen(typed_run: Path, plates: Path) -> None:
    from edge.evaluation.metrics import auroc

    record = read_record(typed_run)
    detector, images = read_model(typed_run, record), read_image_set(plates)
    assert record.adapters is not None
    own = set(record.adapters.own_defects)
    scores, labels = [], []
    for item in images.test:
        if f"{item.label}/{item.path.name}" not in own:
            frame = network_inputs(read_pixels(item.path), InputShape((160, 128)))
            with torch.no_grad():
                scores.append(float(detector(torch.from_numpy(frame)).score))
            labels.append(not item.is_good)
    assert auroc(np.array(labels), np.array(scores)) > 0.8


def test_a_run_builds_a_bundle_that_names_types(
    typed_run: Path, plates: Path, tmp_path: Path
) -> None:
    pack_bundle(typed_run, tmp_path / "b", PackOptions(alpha=0.1), lambda _: None)
    bundle = open_bundle(tmp_path / "b")
    settings = read_record(typed_run).model
    assert isinstance(settings, MultiAdsSettings)
    assert bundle.manifest.method == "multiads"
    assert (bundle.graph.file, bundle.types_graph) == ("models/multiads.fp32.onnx", None)
    assert len(bundle.own_pictures) == 3 * len(settings.types)
    assert bundle.manifest.parity[0].type_difference is not None
    assert bundle.recipe.defect_types == settings.types
    assert [spec.name for spec in bundle.graph.outputs] == ["map", "score", "type_logits"]
    assert bundle.graph.outputs[2].shape == (1, 1 + len(settings.types), 8, 10)
    with load_engine(bundle, EngineSettings()) as engine:
        result = evaluate(bundle, engine, read_image_set(plates), lambda _: None)
    assert result.types is not None
    regions = [region for part in result.parts for region in part.inspection.regions]
    assert regions
    assert all(region.type_score is not None for region in regions)
    assert {region.type for region in regions} <= {*settings.types, "unknown"}


def test_other_options_and_finished_runs_are_refused(
    typed_run: Path, request_: Request, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="holds a finished run"):
        fit(request_, typed_run, no_bar)
    (tmp_path / "run.yaml").write_text((typed_run / "run.yaml").read_text())
    with pytest.raises(TrainingError, match="holds an unfinished run with other options"):
        fit(request_, tmp_path, no_bar)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["--method", "other"],
            "--method: expected one of inp-former, multiads, mavis, dapo, promptmad, ",
        ),
        (["--epochs", "3"], "--epochs: expected with --method multiads or mavis or dapo only"),
        (["--method", "multiads", "--tiles", "2x2"], "--tiles: expected with --method inp-former"),
        (
            ["--plus", "hat"],
            "--plus: expected one of soft-coherence, squared-mining, head, got hat",
        ),
        (["--method", "multiads", "--shots", "2"], "--shots: expected with --method inp-former"),
    ],
)
def test_options_of_another_method_are_refused(
    arguments: list[str], problem: str, plates: Path
) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    result = CliRunner().invoke(app, ["--data", str(plates), "--out", "nowhere", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert problem in str(result.exception)
