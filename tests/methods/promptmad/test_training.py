"""PromptMAD's training: losses, stages, distillation, and a run that becomes a bundle."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import ConfigError, TrainingError
from edge.evaluation.evaluate import evaluate
from edge.methods.inp_former import fit as inp_former
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.mask_refiner import train_refiner, with_refiner, without_mask
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.promptmad import refiner_fitting as refine_module
from edge.methods.promptmad.denoiser import Denoiser
from edge.methods.promptmad.fit import fit
from edge.methods.promptmad.inputs import MaskInputs, PromptInputs, draws, pixel_ap
from edge.methods.promptmad.losses import binary_focal_loss, mask_loss
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.reconstruction_fitting import PromptTrainer, jittered, medoid
from edge.methods.promptmad.refiner import (
    Coarse,
    MaskRefiner,
    ReconstructionMask,
    TextTokens,
    refine,
)
from edge.methods.promptmad.refiner_fitting import MaskTrainer, distilling_loss
from edge.methods.promptmad.request import Request
from edge.methods.promptmad.settings import PromptNet, RefinerNet
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.promptmad.words import defect_names
from edge.methods.run import read_calibration, read_model, read_record
from edge.networks.text.knowledge import knowledge
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.training.staged_training import StagedTraining
from tests.support.int8 import calibration_set, check

NET = PromptNet(width=32, depth=1, heads=2, hidden=32)
SIZE = (96, 64)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def test_focal_loss_by_hand() -> None:
    logit = torch.tensor([[[1.0, -2.0]], [[0.5, 0.0]]])
    mask = torch.tensor([[[True, False]], [[False, False]]])
    p = logit.sigmoid()
    first = -0.75 * (1 - p[0, 0, 0]) ** 2 * p[0, 0, 0].log()
    first -= 0.25 * p[0, 0, 1] ** 2 * (1 - p[0, 0, 1]).log()
    second = -sum(0.25 * q**2 * (1 - q).log() for q in p[1, 0])
    expected = (first / (1 + 1) + second / (0 + 1)) / 2
    assert float(binary_focal_loss(logit, mask)) == pytest.approx(float(expected), rel=1e-5)


def test_without_focus_it_is_half_the_cross_entropy() -> None:
    torch.manual_seed(0)
    logit, mask = torch.randn(3, 8, 8), torch.rand(3, 8, 8) > 0.7
    entropy = F.binary_cross_entropy_with_logits(logit, mask.float(), reduction="none")
    normalised = (entropy.flatten(1).sum(1) / (mask.flatten(1).sum(1) + 1)).mean()
    assert torch.allclose(binary_focal_loss(logit, mask, gamma=0, alpha=0.5), normalised / 2)


def test_an_untrained_segmentors_focal_loss_is_about_a_half() -> None:
    torch.manual_seed(0)
    refiner = MaskRefiner(RefinerNet(text_width=8, types=("crack",)), 10, (), (14, 14)).eval()
    mask = torch.zeros(4, 56, 56, dtype=torch.bool)
    mask[:, 10:20, 30:33] = True
    with torch.no_grad():
        logit = refiner.segmentor(torch.rand(4, 10, 14, 14), (), torch.randn(1, 2, 256)).logit
    focal = 0.3 * binary_focal_loss(logit[:, 0], mask)
    assert 0.25 < float(focal) < 1.0
    assert float(mask_loss(logit[:, 0], mask)) > float(focal)


def test_the_prompt_is_the_picture_nearest_to_the_mean() -> None:
    good = torch.randn(5, 6, 3).half()
    good[2] = good.float().mean((0, 1)).half()
    assert torch.equal(medoid(good), good[2].float())


def test_jitter_grows_with_a_tokens_length() -> None:
    torch.manual_seed(0)
    tokens = torch.ones(4000, 16) * torch.tensor([1.0, 3.0]).repeat(2000)[:, None]
    noise = jittered(tokens, 20.0) - tokens
    # 20 * |token| / C = 20 * 4 / 16 for a token of ones.
    assert float(noise[::2].std()) == pytest.approx(5.0, rel=0.02)
    assert float(noise[1::2].std()) == pytest.approx(15.0, rel=0.02)


def test_words_of_a_product() -> None:
    table = knowledge()
    listed = defect_names("bottle", (), table)
    assert listed == tuple(kind.name for kind in table.product_types("bottle"))[:8]
    assert len(defect_names("never heard of", (), table)) == 8
    assert defect_names("bottle", ("crack", "oil film"), table) == ("crack", "oil film")
    with pytest.raises(ConfigError, match="at most 8 different types"):
        defect_names("bottle", ("crack", "crack"), table)


def toy_masks(count: int, seed: int) -> MaskInputs:
    """Blocky defects that the residual shows in one channel, and harmless marks in another."""
    rng = np.random.default_rng(seed)
    kind = rng.random((count, 4, 4))
    coarse, harmless = kind < 0.2, kind > 0.6
    residual = 0.3 * rng.normal(size=(count, 6, 4, 4))
    residual[:, 2] += 2.0 * coarse
    residual[:, 3] += 2.0 * harmless
    masks = coarse.repeat(4, 1).repeat(4, 2)
    return MaskInputs(
        torch.from_numpy(residual).half(), (), torch.from_numpy(np.ascontiguousarray(masks))
    )


def trainer(**settings: object) -> MaskTrainer:
    torch.manual_seed(0)
    text = TextTokens(8, 2)
    text.rows.copy_(F.normalize(torch.randn(3, 8), dim=-1))
    refiner = MaskRefiner(RefinerNet(text_width=8, types=("crack", "hole")), 6, (), (4, 4))
    given = {"reconstruction_steps": 90, "batch": 8, "mask_lr": 3e-3} | settings
    training = PromptTraining.model_validate(given)
    staged = StagedTraining(nn.ModuleDict({"text": text, "refiner": refiner}), training, None)
    parts = text.requires_grad_(False), refiner.requires_grad_(False).eval()
    return MaskTrainer(parts[1], parts[0], toy_masks(32, 0), toy_masks(8, 1), training, staged)


def test_the_segmentor_learns_where_the_residual_points() -> None:
    toy = trainer()
    before = toy.value(0)
    coarse = toy.train_segmentor(toy.refiner.segmentor, lambda _: None)
    assert coarse > max(0.8, before + 0.3)
    assert coarse == pytest.approx(toy.value(0)), "the best weights are in place"


def test_a_refinement_that_adds_nothing_is_left_out() -> None:
    toy = trainer(reconstruction_steps=12)
    trial = toy.train_denoiser(1.0, lambda _: None)
    assert trial.steps == 0
    assert toy.refiner.denoiser is None
    assert set(trial.pixel_ap) == {0, 10}, "nothing was distilled"


@pytest.mark.slow
def test_a_student_does_in_one_step_what_its_teacher_did_in_ten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refine_module, "LEAST_GAIN", 0.05)
    toy = trainer(reconstruction_steps=180, mask_lr=1e-2, batch=4)
    # The segmentor is untrained: all that the mask learns, the denoiser learns.
    coarse = toy.value(0)
    trial = toy.train_denoiser(coarse, lambda _: None)
    assert trial.pixel_ap[10] > coarse + 0.05
    assert trial.steps == 1
    assert trial.pixel_ap[1] >= trial.pixel_ap[10] - 0.05
    assert toy.refiner.steps == 1
    assert trial.pixel_ap[1] == pytest.approx(toy.value(1), abs=1e-5)


def test_a_student_is_held_against_all_of_its_teachers_steps() -> None:
    torch.manual_seed(0)
    coarse = Coarse(torch.randn(2, 1, 8, 8), torch.randn(2, 32, 8, 8))
    text = torch.randn(1, 3, 16)
    student, teacher = Denoiser(32, 16), Denoiser(32, 16)
    for denoiser in (student, teacher):
        nn.init.normal_(denoiser.leave.weight)
    loss = distilling_loss(student, teacher, coarse, text, 2)
    with torch.no_grad():
        found, target = (
            (refine(network, coarse, text, steps) / 2).tanh()
            for network, steps in ((student, 2), (teacher, 10))
        )
        few = (refine(student, coarse, text, 10) / 2).tanh()
    assert float(loss.detach()) == pytest.approx(float((found - target).square().mean()), rel=1e-5)
    assert float((few - found).abs().max()) > 1e-3, "the number of steps matters here"
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def tiny_prompt_inputs(detector: PromptMadDetector) -> PromptInputs:
    torch.manual_seed(3)
    cells, channels = 24, sum(detector.features.channels)
    good = 2 * torch.randn(1, cells, channels) + 0.1 * torch.randn(6, cells, channels)
    source = torch.arange(12) % 6
    changed = good[source].clone()
    masks = torch.zeros(12, 16, 24, dtype=torch.bool)
    for index in range(12):
        row, column = index % 4, index % 6
        # What belongs elsewhere: nothing but the prompt says that it does not belong here.
        changed[index, row * 6 + column] = changed[index, (row * 6 + column + 7) % 24]
        masks[index, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = True
    levels = tuple(
        torch.randn(12, count, *side).half()
        for count, side in zip((24, 40, 112), ((16, 24), (8, 12), (4, 6)), strict=True)
    )
    return PromptInputs(good.half(), source, changed.half(), levels, masks)


def tiny_detector() -> PromptMadDetector:
    from edge.methods.promptmad.settings import PromptMadSettings
    from edge.networks.backbones.settings import PyramidSettings

    torch.manual_seed(0)
    settings = PromptMadSettings(
        size_wh=SIZE,
        backbone=PyramidSettings(name="efficientnet_lite0", taps=(0, 1, 2, 4), stride=16),
        net=NET,
        refiner=RefinerNet(text_width=8, types=("crack",)),
        product="housing",
    )
    return PromptMadDetector(settings).eval().requires_grad_(False)


def test_defects_are_rebuilt_as_good_and_thereby_found() -> None:
    detector = tiny_detector()
    inputs = tiny_prompt_inputs(detector)
    settings = PromptTraining(reconstruction_steps=60, lr=5e-3)
    prompter = PromptTrainer(detector, inputs, inputs, medoid(inputs.good), settings)
    staged = StagedTraining(detector.reconstruction, settings, None)
    stage = prompter.stage()
    before = stage.validate()
    # A twenty-fourth of all pixels is defective.
    assert staged.run(stage, lambda _: None) > max(0.5, before + 0.2)
    assert not any(p.requires_grad for p in detector.parameters())


def test_good_and_changed_pictures_both_become_the_good_one() -> None:
    detector = tiny_detector()
    inputs = tiny_prompt_inputs(detector)
    alone = replace(inputs, good=inputs.good[:1], source=torch.zeros(12, dtype=torch.int64))
    settings = PromptTraining(jitter=0.0)
    prompter = PromptTrainer(detector, alone, alone, medoid(alone.good), settings)
    rows = torch.tensor([2, 7])
    loss, missed = prompter.rebuild(rows, np.random.default_rng(0))
    good, changed = alone.good.float().expand(2, -1, -1), alone.changed[rows].float()
    rebuilt = [
        detector.reconstruction(tokens, good, detector.good_text()) for tokens in (good, changed)
    ]
    expected = sum((guess - good).square().mean() for guess in rebuilt)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert torch.allclose(missed, rebuilt[1] - changed, atol=1e-5)


def test_only_the_joint_stage_lets_the_mask_reach_the_reconstruction() -> None:
    detector = tiny_detector()
    inputs = tiny_prompt_inputs(detector)
    prompter = PromptTrainer(detector, inputs, inputs, medoid(inputs.good), PromptTraining())
    rng = np.random.default_rng(0)
    joint = prompter.joint_stage()
    joint.module.requires_grad_(True)
    squared, missed = prompter.rebuild(torch.arange(2), rng)
    levels = tuple(level[:2].float() for level in inputs.levels)
    mask_loss(prompter.coarse(missed, levels)[:, 0], inputs.masks[:2]).backward()
    assert float(detector.reconstruction.enter.weight.grad.abs().sum()) > 0
    assert squared.requires_grad
    loss = joint.loss(rng)
    assert math.isfinite(float(loss.detach()))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edge.cameras.simulator.image_set import write_conveyor_set

    folder = tmp_path_factory.mktemp("promptmad") / "tiles"
    write_conveyor_set(folder, train_good=24, test_good=2, per_type=1, size_wh=SIZE, seed=1)
    return folder


def prompt_request(tiles: Path) -> Request:
    training = PromptTraining(reconstruction_steps=12, inputs=16, distil=False)
    return Request(tiles, find_preset("lite"), size_wh=SIZE, types=("crack",),
                   training=training, net=NET)  # fmt: skip


@pytest.fixture(scope="module")
def prompt_run(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "promptmad"
    fit(prompt_request(tiles), folder, no_bar)
    return folder


@pytest.mark.slow
def test_its_int8_graphs_judge_as_the_run(prompt_run: Path, tiles: Path, tmp_path: Path) -> None:
    options = PackOptions(alpha=0.5, int8=calibration_set(tiles, tmp_path / "set"))
    check(pack_bundle(prompt_run, tmp_path / "b", options, lambda _: None), prompt_run)


def test_a_run_becomes_a_bundle_that_decides_the_same(
    prompt_run: Path, tiles: Path, tmp_path: Path
) -> None:
    run, record = prompt_run, read_record(prompt_run)
    assert record.model.method == "promptmad"
    assert record.refiner is not None
    assert record.model.refiner.steps == record.refiner.steps
    assert {p.name for p in run.iterdir()} == {
        "run.yaml", "model.safetensors", "calibration.json", "frames.npz", "golden", "log.jsonl"
    }  # fmt: skip
    stages = [json.loads(line)["stage"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(stages)) == ["reconstruction", "segmentor", "denoiser"]
    detector = read_model(run, record)
    assert float(detector.prompt.abs().sum()) > 0
    # The held-out scores are those of the finished model, however often it is asked.
    calibration = read_calibration(run)
    by_name = {s.path.name: s for s in read_image_set(tiles).train}
    sample = by_name[calibration.files[0]]
    frame = torch.from_numpy(network_inputs(read_pixels(sample.path), InputShape(SIZE)))
    with torch.no_grad():
        scores = [float(detector(frame).score) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0] == pytest.approx(calibration.scores[0], abs=1e-4)
    bundle = pack_bundle(run, tmp_path / "bundle", PackOptions(alpha=0.5), lambda _: None)
    assert bundle.manifest.method == "promptmad"
    assert bundle.manifest.parity[0].passed
    assert bundle.recipe.defect_types == ()
    graph = bundle.manifest.graphs[0]
    with OnnxEngine(bundle.folder / graph.file, graph) as engine:
        judged = evaluate(bundle, engine, read_image_set(tiles), lambda _: None)
    assert judged.good == 2
    assert all(math.isfinite(item.score) for item in judged.parts)
    with pytest.raises(TrainingError, match="holds a finished run"):
        fit(prompt_request(tiles), run, no_bar)


def test_a_vision_transformer_preset_is_refused(tiles: Path, tmp_path: Path) -> None:
    request = Request(tiles, find_preset("standard"), size_wh=(98, 70))
    with pytest.raises(ConfigError, match="expected lite, got standard"):
        fit(request, tmp_path / "run", no_bar)


def inp_former_run(tiles: Path, folder: Path) -> inp_former.Request:
    return inp_former.Request(
        data=tiles, preset=find_preset("lite"), size_wh=SIZE, branches=False, refine=True,
        training=TrainingSettings(steps=20, tokens=0, warmup=2, head_steps=4, probe_defects=14),
    )  # fmt: skip


def test_a_mask_behind_inp_former_that_does_not_win_leaves_no_trace(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.methods.inp_former import mask_refiner as behind_inp_former

    monkeypatch.setattr(behind_inp_former, "LEAST_GAIN", 2.0)
    monkeypatch.setattr(behind_inp_former, "HELD_PICTURES", 4)
    monkeypatch.setattr(behind_inp_former, "affordable", lambda _wanted, _each: 16)
    record = inp_former.fit(inp_former_run(tiles, tmp_path), tmp_path / "run", no_bar)
    assert record.refiner is not None
    assert not record.refiner.is_kept
    assert record.model.refiner is None
    detector = read_model(tmp_path / "run", read_record(tmp_path / "run"))
    assert isinstance(detector, Detector)
    assert "head" not in detector.branches


def test_a_mask_that_wins_is_kept_with_its_steps(
    tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.methods.inp_former import mask_refiner as behind_inp_former
    from edge.methods.inp_former.settings import BranchSettings
    from edge.methods.presets import model_settings

    monkeypatch.setattr(behind_inp_former, "LEAST_GAIN", -2.0)
    monkeypatch.setattr(behind_inp_former, "HELD_PICTURES", 4)
    monkeypatch.setattr(behind_inp_former, "affordable", lambda _wanted, _each: 16)
    torch.manual_seed(0)
    plain = model_settings(find_preset("lite"), SIZE, "random")
    plain = plain.model_copy(update={"branches": BranchSettings()})
    settings = with_refiner(plain, "tiles")
    assert len(settings.refiner.types) == 8
    detector = Detector(settings).eval().requires_grad_(False)
    train = read_image_set(tiles).train
    training = TrainingSettings(head_steps=4)
    kept, trial = train_refiner(
        detector, "tiles", train[:16], train[16:], InputShape(SIZE), training, no_bar
    )
    assert trial.is_kept
    mask = kept.branches["head"].scorer
    assert isinstance(mask, ReconstructionMask)
    assert kept.settings.refiner.steps == trial.steps
    assert float(mask.text.rows.norm(dim=-1).min()) == pytest.approx(1, abs=1e-4)
    # The settings build the very network that was trained.
    again = Detector(kept.settings)
    again.load_state_dict(kept.state_dict())
    # Without its mask the rest judges as before.
    frame = torch.randint(0, 256, (1, SIZE[1], SIZE[0], 3), dtype=torch.uint8)
    with torch.no_grad():
        groups = kept.extract(frame)
        alone = without_mask(kept).branch_maps(groups)
        own = F.interpolate(alone, size=kept.grid_hw, mode="bilinear", align_corners=False)
        assert torch.allclose(kept.branch_maps(groups)[:, :4], own, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "promptmad", "--tiles", "2x2"], "--tiles: expected with --method inp-former"),
        (["--method", "promptmad", "--refine"], "--refine: expected with --method inp-former"),
        (["--method", "promptmad", "--data", "other"], "prompts with one product's picture, got 2"),
        (["--refine", "--plus", "head"], "--refine: the mask takes the place of --plus head"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    result = CliRunner().invoke(app, ["--data", "x", "--out", str(tmp_path / "r"), *arguments])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_precision_counts_all_pixels_together() -> None:
    masks = torch.tensor([[[True, False]], [[False, False]]])
    assert pixel_ap([torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[0.5, 0.2]]])], masks) == 1
    assert pixel_ap([torch.tensor([[[0.4, 0.1]], [[0.5, 0.2]]])], masks) == 0.5


def test_the_mask_learns_local_defects_and_changed_areas(plates: Path) -> None:
    good = read_image_set(plates).train[:4]
    drawn = list(draws(good, 80, np.random.default_rng(0)))
    shares = np.array([mask.mean() for _, _, mask in drawn])
    assert (shares == 0).mean() == pytest.approx(0.2, abs=0.1), "some stay good"
    assert (shares > 0.15).sum() >= 5, "no local defect is as large"
    assert ((shares > 0) & (shares < 0.02)).sum() >= 10
    for index, pixels, mask in drawn:
        changed = (pixels != read_pixels(good[index].path)).any(axis=-1)
        assert changed.any() == mask.any()
