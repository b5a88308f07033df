"""DAPO from pictures to a bundle, with a tiny random CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edge.errors import ConfigError, TrainingError
from edge.methods.added_types import with_added
from edge.methods.dapo.fit import DapoRequest, fit
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.settings import DapoSettings
from edge.methods.dapo.towers import ClipPrompts
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.run import read_model, read_record
from edge.networks.clip_weights import read_clip
from edge.networks.text.clip_text import ClipText
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from tests.support.int8 import calibration_set, check
from tests.support.tiny_clip import write_clip


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder, blocks=4)
    return folder


@pytest.fixture(scope="module")
def request_(plates: Path, clip_folder: Path) -> DapoRequest:
    training = DapoTraining(epochs=3, least_steps=0, labelled=2)
    return DapoRequest(
        data=(plates,), preset="standard", weights=str(clip_folder), size_wh=(80, 64),
        types=("crack", "hole"), memory_frames=1, training=training,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dapo_run(request_: DapoRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "dapo"
    fit(request_, folder, no_bar)
    return folder


def test_a_finished_run_holds_what_was_learned(dapo_run: Path, clip_folder: Path) -> None:
    record = read_record(dapo_run)
    assert isinstance(record.model, DapoSettings)
    assert isinstance(record.training, DapoTraining)
    assert record.adapters is not None
    assert record.adapters.best_epoch is not None
    detector = read_model(dapo_run, record)
    assert isinstance(detector, DapoDetector)
    assert len(detector.memory) == 4
    tower = ClipPrompts(ClipText(str(clip_folder)))
    rows = detector.prompts.rows(tower, record.model.types)
    assert torch.allclose(rows, detector.bank, atol=1e-6), "the bank is of the final prompts"
    stored = read_clip(str(clip_folder)).vision
    vision = detector.features.backbone.state_dict()
    same = [torch.equal(vision[name], value) for name, value in stored.items() if name in vision
            and name != "positions"]  # fmt: skip
    assert len(same) > 40
    assert all(same)
    log = (dapo_run / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log]
    assert losses[-1] < losses[0]


def test_an_interrupted_training_goes_on(
    dapo_run: Path, request_: DapoRequest, tmp_path: Path
) -> None:
    """Training stops in its second epoch; the same command ends where one without a stop does."""

    class Interrupted(Exception):
        pass

    def stopping(stage: str, _total: int):
        done = [0]

        def advance(count: int) -> None:
            done[0] += count
            epochs = (tmp_path / "run" / "log.jsonl").is_file()
            if stage == "training" and epochs:
                raise Interrupted

        return advance

    with pytest.raises(Interrupted):
        fit(request_, tmp_path / "run", stopping)
    fit(request_, tmp_path / "run", no_bar)
    straight, resumed = (read_model(f, read_record(f)) for f in (dapo_run, tmp_path / "run"))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(TrainingError, match="holds a finished run"):
        fit(request_, tmp_path / "run", no_bar)


def test_another_word_changes_nothing_of_what_was_said(dapo_run: Path) -> None:
    record = read_record(dapo_run)
    detector = read_model(dapo_run, record)
    larger, changed = with_added(detector, record, ("bent pin",))
    assert changed.model.types == ("crack", "hole", "bent pin")
    pixels = torch.randint(0, 256, (2, 64, 80, 3), dtype=torch.uint8)
    with torch.no_grad():
        one, other = detector(pixels), larger(pixels)
    assert torch.equal(one.map, other.map)
    assert torch.equal(one.score, other.score)
    assert torch.equal(one.type_logits, other.type_logits[:, :3])
    assert other.type_logits.shape[1] == 4


def test_a_run_builds_a_bundle_with_a_type_by_its_word(dapo_run: Path, tmp_path: Path) -> None:
    options = PackOptions(alpha=0.5, added_types=("bent pin",))
    bundle = pack_bundle(dapo_run, tmp_path / "b", options, lambda _: None)
    assert bundle.manifest.method == "dapo"
    assert bundle.graph.file == "models/dapo.fp32.onnx"
    outputs = {spec.name: spec.shape for spec in bundle.graph.outputs}
    assert outputs == {"map": (1, 32, 40), "score": (1,), "type_logits": (1, 4, 8, 10)}
    assert bundle.recipe.defect_types == ("crack", "hole", "bent pin")
    assert bundle.recipe.type_evidence == "summed"
    assert bundle.manifest.parity[0].passed
    assert "without an example: bent pin" in (bundle.folder / "card.md").read_text()


@pytest.mark.slow
def test_its_int8_graphs_judge_and_name_as_the_run(
    dapo_run: Path, plates: Path, tmp_path: Path
) -> None:
    options = PackOptions(alpha=0.5, int8=calibration_set(plates, tmp_path / "set"))
    check(pack_bundle(dapo_run, tmp_path / "b", options, lambda _: None), dapo_run)


@pytest.mark.parametrize("tokens", ["text_tokens", "visual_tokens"])
def test_tokens_can_be_left_out(request_: DapoRequest, tmp_path: Path, tokens: str) -> None:
    from dataclasses import replace

    quick = DapoTraining(epochs=1, least_steps=0, labelled=1)
    record = fit(replace(request_, training=quick, **{tokens: 0}), tmp_path / "run", no_bar)
    names = set(read_model(tmp_path / "run", record).state_dict())
    assert ("prompts.extra.tokens" in names) is (tokens != "text_tokens")
    assert ("features.extra.tokens" in names) is (tokens != "visual_tokens")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["--method", "dapo", "--legacy-text-path"],
            "--legacy-text-path: expected with standard or accurate, whose CLIP it is about",
        ),
        (["--without", "text-tokens"], "--without: expected with --method dapo only, got inp-"),
        (
            ["--method", "dapo", "--without", "hat"],
            "--without: expected one of text-tokens,",
        ),
        (["--legacy-text-path"], "--legacy-text-path: expected with --method dapo only"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], problem: str, plates: Path
) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    result = CliRunner().invoke(app, ["--data", str(plates), "--out", "nowhere", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert problem in str(result.exception)


def test_the_command_trains_as_it_is_told(plates: Path, clip_folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    command = ["--method", "dapo", "--data", str(plates), "--preset", "standard", "--weights",
        str(clip_folder), "--size", "80x64", "--types", "crack,hole", "--labelled", "1",
        "--epochs", "1", "--without", "visual-tokens", "--legacy-text-path", "--out",
        str(tmp_path / "run")]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    model = read_record(tmp_path / "run").model
    assert isinstance(model, DapoSettings)
    assert (model.visual_tokens, model.prompts.tokens) == (0, 4)
    assert model.prompts.legacy_text_path
