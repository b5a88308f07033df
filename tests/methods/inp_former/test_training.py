from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.errors import TrainingError
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.network import InpFormer, InpFormerSettings
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.trainer import Trainer, batch_indices
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.run import read_calibration, read_model, read_record
from edge.training.checkpoint import CHECKPOINT
from edge.training.feature_cache import FeatureCache


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def test_every_picture_comes_once_per_epoch() -> None:
    settings = TrainingSettings(batch=4, seed=3)
    drawn = [i for step in range(10) for i in batch_indices(20, settings, step)]
    assert sorted(drawn[:20]) == list(range(20))
    assert sorted(drawn[20:]) == list(range(20))
    assert drawn[:20] != drawn[20:]


def toy(folder: Path, steps: int) -> tuple[Trainer, FeatureCache]:
    torch.manual_seed(0)
    shape = InpFormerSettings(
        channels=(8, 12), merge="concat", width=16, depth=2, heads=2, mlp_ratio=2
    )
    rng = np.random.default_rng(0)
    cache = FeatureCache([rng.normal(size=(24, 36, c)).astype(np.float16) for c in (8, 12)])
    settings = TrainingSettings(steps=steps, batch=8, tokens=20, warmup=10)
    folder.mkdir(exist_ok=True)
    return Trainer(InpFormer(shape), settings, folder), cache


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    straight, cache = toy(tmp_path / "a", 230)
    straight.run(cache, lambda _: None)
    assert float(torch.tensor(1e-39) * 1) > 0, "training left small numbers switched off"

    class Interrupted(Exception):
        pass

    def interrupt(_: int) -> None:
        if broken.step == 130:
            raise Interrupted

    broken, _ = toy(tmp_path / "b", 230)
    with pytest.raises(Interrupted):
        broken.run(cache, interrupt)
    resumed, _ = toy(tmp_path / "b", 230)
    done: list[int] = []
    resumed.run(cache, done.append)
    assert done[0] == 100, "goes on from the checkpoint, not from the start"
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    first, cache = toy(tmp_path, 100)
    first.run(cache, lambda _: None)
    assert (tmp_path / CHECKPOINT).exists()
    other, _ = toy(tmp_path, 200)
    with pytest.raises(TrainingError, match="other training settings"):
        other.run(cache, lambda _: None)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    trainer, cache = toy(tmp_path, 200)
    indices = list(range(24))
    before = float(trainer._loss(cache.batch(indices)).detach())
    trainer.run(cache, lambda _: None)
    after = float(trainer._loss(cache.batch(indices)).detach())
    assert after < 0.9 * before


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    trainer, cache = toy(tmp_path, 40)
    cache.arrays[0][:] = np.nan
    with pytest.raises(TrainingError, match="step 20: the loss is nan; lower the learning rate"):
        trainer.run(cache, lambda _: None)


def test_a_finished_run_holds_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = {
        "run.yaml",
        "model.safetensors",
        "calibration.json",
        "frames.npz",
        "golden",
        "log.jsonl",
        "suspicious.csv",
    }
    assert names == expected, "neither features nor checkpoints are left"
    record, calibration = read_record(run), read_calibration(run)
    assert record.data.train_images + record.data.held_out_images == 40
    assert len(calibration.scores) == record.data.held_out_images
    assert len(list((run / "golden").glob("*.png"))) == 6
    detector = read_model(run, record)
    assert not any(parameter.requires_grad for parameter in detector.parameters())


def test_calibration_scores_are_those_of_the_stored_model(run: Path, plates: Path) -> None:
    from edge.data.frames import InputShape, network_inputs
    from edge.data.image_set import read_pixels

    record, calibration = read_record(run), read_calibration(run)
    detector = read_model(run, record)
    shape = InputShape(record.model.size_wh)
    for name, score in list(zip(calibration.files, calibration.scores))[:4]:
        pixels = read_pixels(plates / "train" / "good" / name)
        with torch.no_grad():
            judged = detector(torch.from_numpy(network_inputs(pixels, shape)))
        assert float(judged.score) == pytest.approx(score, abs=1e-5)


def test_a_pasted_square_stands_out_after_a_short_training(run: Path, plates: Path) -> None:
    from edge.data.frames import InputShape, network_inputs
    from edge.data.image_set import read_pixels

    detector = read_model(run, read_record(run))
    pixels = read_pixels(next((plates / "test" / "good").iterdir())).copy()
    pixels[50:80, 60:100] = (np.arange(40) // 4 % 2 * 255)[None, :, None]
    with torch.no_grad():
        branches = detector.branch_maps(
            detector.extract(torch.from_numpy(network_inputs(pixels, InputShape((160, 128)))))
        )
        # The uncalibrated distance, which starts at zero.
        level = detector.smooth(branches.mean(1, keepdim=True))[0].numpy()
    inside = np.zeros(level.shape, bool)
    inside[25:40, 30:50] = True
    assert level[inside].mean() > 2 * np.median(level[~inside])


def test_finished_and_foreign_folders_are_not_overwritten(run: Path, plates: Path) -> None:
    request = Request(data=plates, preset=find_preset("lite"))
    with pytest.raises(TrainingError, match="holds a finished run"):
        fit(request, run, no_bar)


def test_standard_preset_trains_on_a_tiny_transformer(plates: Path, tmp_path: Path) -> None:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=3,
        image_size=56,
        patch_size=14,
        num_register_tokens=4,
    )
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path / "vit")
    request = Request(
        data=plates,
        preset=find_preset("standard"),
        weights=str(tmp_path / "vit"),
        size_wh=(70, 56),
        training=TrainingSettings(steps=5, tokens=0, batch=4, probe_defects=14),
    )
    record = fit(request, tmp_path / "run", no_bar)
    assert record.model.backbone.name == "dinov2_registers"
    assert record.model.inp_former.width == 24
    detector = read_model(tmp_path / "run", record)
    judged = detector(torch.zeros(1, 56, 70, 3, dtype=torch.uint8))
    assert judged.map.shape == (1, 28, 35)
