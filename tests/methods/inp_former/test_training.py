from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.errors import TrainingError
from edge.methods.inp_former.fit import Request, fit
from edge.methods.inp_former.network import InpFormer, InpFormerSettings
from edge.methods.inp_former.sizing import best_size
from edge.methods.inp_former.trainer import CHECKPOINT, Trainer, batch_indices
from edge.methods.presets import (
    PRESETS,
    candidate_sizes,
    find_preset,
    network_size,
    tap_blocks,
)
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.run_record import SizeTrial, TrainingSettings
from edge.training.feature_cache import FeatureCache
from edge.training.optimizer import StableAdamW, learning_rate


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def test_schedule() -> None:
    rates = [learning_rate(step, 1000, 1e-3, 1e-4, 100) for step in range(1001)]
    assert rates[0] == 0
    assert rates[50] == pytest.approx(5e-4)
    assert rates[100] == pytest.approx(1e-3)
    assert rates[550] == pytest.approx((1e-3 + 1e-4) / 2)
    assert rates[1000] == pytest.approx(1e-4)


def test_optimizer_first_step_is_the_formula() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    parameter.grad = torch.tensor([0.5, 0.25])
    StableAdamW([parameter], lr=0.1, weight_decay=0.01).step()
    # First step: moments equal the gradient after bias correction, RMS(g / |g|) is 1.
    expected = torch.tensor([1.0, -2.0]) * (1 - 0.1 * 0.01) - 0.1 * torch.sign(parameter.grad)
    assert torch.allclose(parameter.detach(), expected, atol=1e-6)


def test_optimizer_shrinks_the_step_when_the_gradient_outgrows_its_history() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = StableAdamW([parameter], lr=0.1, weight_decay=0.0)
    for _ in range(50):
        parameter.grad = torch.full((4,), 1e-3)
        optimizer.step()
    before = parameter.detach().clone()
    parameter.grad = torch.full((4,), 1.0)
    optimizer.step()
    surprise = float((parameter.detach() - before).abs().max())
    plain = torch.nn.Parameter(torch.zeros(4))
    adamw = torch.optim.AdamW([plain], lr=0.1, weight_decay=0.0, eps=1e-10, amsgrad=True)
    for value in [1e-3] * 50 + [1.0]:
        before_plain = plain.detach().clone()
        plain.grad = torch.full((4,), value)
        adamw.step()
    assert surprise < 0.3 * float((plain.detach() - before_plain).abs().max())


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


def test_network_size_keeps_area_and_aspect() -> None:
    assert network_size((256, 256), 256, 32) == (256, 256)
    assert network_size((1280, 1024), 256, 32) == (288, 224)
    assert network_size((576, 768), 320, 32) == (288, 384)
    assert network_size((100, 2000), 256, 32) == (64, 1152)


def test_candidates_do_not_enlarge_much() -> None:
    lite = find_preset("lite")
    assert candidate_sizes(lite, (200, 200)) == ((256, 256),)
    assert len(candidate_sizes(lite, (2000, 1500))) == len(lite.sides)
    assert candidate_sizes(lite, (264, 327)) == ((224, 288), (288, 352))


def test_the_smallest_size_that_is_nearly_best_is_taken() -> None:
    trials = [
        SizeTrial(size_wh=(256, 256), auroc=0.90),
        SizeTrial(size_wh=(320, 320), auroc=0.945),
        SizeTrial(size_wh=(448, 448), auroc=0.95),
    ]
    assert best_size(trials) == (320, 320)
    assert best_size(trials[:1]) == (256, 256)


def test_taps_are_the_published_ones() -> None:
    assert tap_blocks(12) == (2, 3, 4, 5, 6, 7, 8, 9)
    assert tap_blocks(24) == (4, 6, 8, 10, 12, 14, 16, 18)
    assert PRESETS["standard"].vit == (384, 12, 6)
    assert PRESETS["accurate"].vit == (768, 12, 12)
    assert PRESETS["large"].vit == (1024, 24, 16)


def test_a_finished_run_holds_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = {"run.yaml", "model.safetensors", "calibration.json", "golden", "log.jsonl"}
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
        branches = detector.branches(
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


def test_an_unfinished_run_goes_on_only_with_the_same_options(plates: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def breaking(stage: str, _total: int):
        def advance(done: int) -> None:
            if stage == "training" and done:
                raise Interrupted

        return advance

    training = TrainingSettings(steps=3, tokens=0, probe_defects=14)
    lite = find_preset("lite")
    request = Request(data=plates, preset=lite, size_wh=(96, 64), training=training)
    with pytest.raises(Interrupted):
        fit(request, tmp_path / "run", breaking)
    other = Request(
        data=plates,
        preset=lite,
        size_wh=(96, 64),
        training=TrainingSettings(steps=4, tokens=0, probe_defects=14),
    )
    with pytest.raises(TrainingError, match="unfinished run with other options"):
        fit(other, tmp_path / "run", no_bar)
    fit(request, tmp_path / "run", no_bar)
    assert (tmp_path / "run" / "model.safetensors").exists()


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
