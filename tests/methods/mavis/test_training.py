"""MAVIS' stage A from pictures to a bundle: on lite, and with a tiny random CLIP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.data.image_set import read_image_set
from edge.errors import ConfigError
from edge.methods.added_types import with_added
from edge.methods.mavis.fit import MavisRequest, fit, image_anchors
from edge.methods.mavis.losses import negation_error
from edge.methods.mavis.network import AlignedAdapters
from edge.methods.mavis.texts import product_texts
from edge.methods.mavis.training_settings import NegationTraining
from edge.methods.multiads import fit as multiads
from edge.methods.multiads.fit import frame_batches
from edge.methods.multiads.network import MultiAdsDetector, TypeAdapters
from edge.methods.multiads.settings import MultiAdsSettings
from edge.methods.multiads.training_set import Request, plan, read_target
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import read_model, read_record
from edge.networks.text.bank import TextBank
from edge.networks.text.minilm import MiniLm
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from tests.support.tiny_clip import write_clip

QUICK = {"epochs": 3, "least_steps": 0, "labelled": 3}


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="module")
def request_(plates: Path) -> MavisRequest:
    training = NegationTraining(**QUICK, warmup=2, anchors=32, patch_weight=1.0)
    return MavisRequest((plates,), plates, size_wh=(160, 128), training=training)


@pytest.fixture(scope="module")
def aligned_run(request_: MavisRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "aligned"
    fit(request_, folder, no_bar)
    return folder


def test_the_record_says_what_became_of_the_negation_error(aligned_run: Path) -> None:
    record = read_record(aligned_run)
    assert isinstance(record.training, NegationTraining)
    assert record.training.image_weight == 0, "lite has no image vector"
    assert record.training.patch_weight == 1
    assert record.adapters is not None
    errors, best = record.adapters.negation_errors, record.adapters.best_epoch
    assert best is not None
    log = [json.loads(line) for line in (aligned_run / "log.jsonl").read_text().splitlines()]
    assert list(errors) == [entry["negation_error"] for entry in log]
    assert len(errors) == 4
    assert errors[-1] < 0.5 * errors[0]


def test_the_text_adapter_is_in_the_bank_and_nowhere_on_the_line(
    aligned_run: Path, plates: Path
) -> None:
    record = read_record(aligned_run)
    detector = read_model(aligned_run, record)
    assert isinstance(detector, MultiAdsDetector)
    assert isinstance(record.model, MultiAdsSettings)
    assert type(detector.adapters) is TypeAdapters
    encoded = TextBank(MiniLm()).rows(plates.name, record.model.types)
    assert detector.text_adapter is not None
    assert float((detector.bank - encoded).norm(dim=-1).min()) > 1e-3, "training moved the texts"
    assert torch.allclose(detector.bank, detector.text_adapter(encoded), atol=1e-6)


def test_the_terms_are_what_tells_it_from_multiads(
    request_: MavisRequest, aligned_run: Path, tmp_path: Path
) -> None:
    """Same pictures, start and steps: without the terms good cells stay nearer to defects."""
    training = request_.training.model_copy(update={"patch_weight": 0.0, "type_weight": 0.0})
    fit(replace(request_, training=training), tmp_path / "plain", no_bar)
    plain, aligned = (read_record(f).adapters for f in (tmp_path / "plain", aligned_run))
    assert plain is not None
    assert aligned is not None
    assert plain.negation_errors[0] == aligned.negation_errors[0]
    assert aligned.negation_errors[-1] < plain.negation_errors[-1]
    base = Request(
        request_.data, request_.target, size_wh=(160, 128), training=AdapterTraining(**QUICK)
    )
    record = multiads.fit(base, tmp_path / "base", no_bar)
    assert record.adapters is not None
    assert record.adapters.own_defects == aligned.own_defects
    assert record.adapters.negation_errors == ()


@pytest.mark.slow
def test_it_becomes_a_bundle_and_later_words_are_aligned_too(
    aligned_run: Path, plates: Path, tmp_path: Path
) -> None:
    options = PackOptions(alpha=0.1, added_types=("bent pin",))
    bundle = pack_bundle(aligned_run, tmp_path / "b", options, lambda _: None)
    assert bundle.manifest.method == "multiads"
    assert bundle.manifest.parity[0].passed
    assert bundle.recipe.defect_types[-1] == "bent pin"
    record = read_record(aligned_run)
    detector = read_model(aligned_run, record)
    assert isinstance(detector, MultiAdsDetector)
    assert detector.text_adapter is not None
    larger, _ = with_added(detector, record, ("bent pin",))
    encoded = TextBank(MiniLm()).rows(plates.name, ["bent pin"])[1:]
    assert torch.allclose(larger.added, detector.text_adapter(encoded), atol=1e-6)


# The image level of lite, whose image vector is trained


@torch.no_grad()
def of_pictures(folder: Path, plates: Path, *, good: bool) -> tuple[float, torch.Tensor]:
    """Negation error and bank rows named by the image vectors of labelled or test pictures."""
    record = read_record(folder)
    detector = read_model(folder, record)
    assert isinstance(detector, MultiAdsDetector)
    assert record.adapters is not None
    own = record.adapters.own_defects
    samples = [
        s for s in read_image_set(plates).test
        if (s.is_good if good else f"{s.label}/{s.path.name}" in own)
    ]  # fmt: skip
    pictures = np.concatenate(list(frame_batches(detector, samples)))
    image = detector.extract(torch.from_numpy(pictures)).image
    assert image is not None
    bank, kinds = TextBank(MiniLm()), record.model.types
    texts = product_texts(bank, plates.name, [bank.table.type_of(kind) for kind in kinds]).sentences
    assert detector.text_adapter is not None
    error = negation_error(image, detector.bank[0], detector.text_adapter(texts))
    return error, (image @ detector.bank.T).argmax(-1)


@pytest.mark.slow
def test_a_trained_image_vector_of_lite_loses_its_negation_error(
    request_: MavisRequest, plates: Path, tmp_path: Path
) -> None:
    """Of test/good, which it has not seen; what it was taught of defects it still names."""
    training = NegationTraining(epochs=12, least_steps=0, labelled=3, warmup=2)
    image_level = replace(request_, n_pair=("image",), training=training)
    record = fit(image_level, tmp_path / "image", no_bar)
    late = training.model_copy(update={"epochs": 1, "lr": 1e-9})
    fit(replace(image_level, training=late), tmp_path / "untaught", no_bar)
    assert isinstance(record.training, NegationTraining)
    assert (record.training.image_weight, record.training.patch_weight) == (0.25, 0)
    assert isinstance(record.model, MultiAdsSettings)
    assert (record.model.has_image_head, record.model.image_share) == (True, 0.5)
    untaught, _ = of_pictures(tmp_path / "untaught", plates, good=True)
    taught, _ = of_pictures(tmp_path / "image", plates, good=True)
    assert untaught > 0.5
    assert taught < 0.5 * untaught
    _, named = of_pictures(tmp_path / "image", plates, good=False)
    assert float((named > 0).float().mean()) > 0.5, "a constant would name them all good"
    bundle = pack_bundle(tmp_path / "image", tmp_path / "b", PackOptions(), lambda _: None)
    assert bundle.manifest.parity[0].passed


def test_both_levels_of_lite_learn(request_: MavisRequest, tmp_path: Path) -> None:
    """The image vector has no use for the warm-up: an epoch before its end may be the best."""
    training = NegationTraining(epochs=1, least_steps=0, labelled=1, warmup=100)
    both = replace(request_, n_pair=("image", "patch"), training=training)
    record = fit(both, tmp_path / "run", no_bar)
    assert isinstance(record.training, NegationTraining)
    assert (record.training.image_weight, record.training.patch_weight) == (0.25, 0.25)
    detector = read_model(tmp_path / "run", record)
    assert isinstance(detector, MultiAdsDetector)
    torch.manual_seed(record.training.seed)
    start = MultiAdsDetector(record.model).state_dict()
    for name in ("image_head.layer.weight", "adapters.adapters.0.weight", "text_adapter.weight"):
        moved = (detector.state_dict()[name] - start[name]).abs().max()
        assert 1e-5 < float(moved) < 1e-1, "one step from the seed's own start"


# The image level, with a tiny CLIP


@pytest.fixture(scope="module")
def clip_request(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> MavisRequest:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder, blocks=4)
    training = NegationTraining(**QUICK, warmup=1, anchors=8)
    return MavisRequest(
        (plates,), preset="standard", weights=str(folder), size_wh=(80, 64),
        types=("crack", "hole"), training=training,
    )  # fmt: skip


def test_the_image_adapter_is_folded_into_the_projection(
    clip_request: MavisRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished tower says what the tower before and the adapter behind it said."""
    seen: list[tuple[AlignedAdapters, torch.Tensor, torch.Tensor]] = []
    frames = torch.randint(0, 256, (2, 64, 80, 3), dtype=torch.uint8)
    from edge.methods.mavis import fit as module

    original = module.folded

    def watched(aligned: AlignedAdapters, detector: MultiAdsDetector) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            before = detector.extract(frames).image
            assert before is not None
            assert aligned.image is not None
            torch.nn.init.normal_(aligned.image.weight)  # as after a long training
            expected = aligned.image(before)
            weights = original(aligned, detector)
            detector.load_state_dict(detector.state_dict() | weights)
            found = detector.extract(frames).image
        assert found is not None
        seen.append((aligned, expected, found))
        assert not torch.allclose(before, found, atol=1e-2)
        return {}

    monkeypatch.setattr(module, "folded", watched)
    record = fit(clip_request, tmp_path / "run", no_bar)
    _, expected, found = seen[0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert isinstance(record.training, NegationTraining)
    assert record.training.image_weight == record.training.patch_weight == 0.25


def test_levels_are_switched_by_name(clip_request: MavisRequest, tmp_path: Path) -> None:
    image = fit(replace(clip_request, n_pair=("image",)), tmp_path / "image", no_bar).training
    patch = fit(replace(clip_request, n_pair=("patch",)), tmp_path / "patch", no_bar).training
    assert isinstance(image, NegationTraining)
    assert isinstance(patch, NegationTraining)
    assert (image.image_weight, image.patch_weight, image.type_weight) == (0.25, 0, 0)
    assert (patch.image_weight, patch.patch_weight, patch.type_weight) == (0, 0.25, 0.25)


def test_image_anchors_are_of_good_parts_to_learn_from(clip_request: MavisRequest) -> None:
    from edge.methods.multiads.presets import multiads_settings
    from edge.networks.weights import load_backbone

    target, parts = read_target(clip_request)
    training_set = plan(clip_request, target, parts[0])
    weights = str(clip_request.weights)
    settings = multiads_settings(
        "standard", weights, (160, 128), (80, 64), target.name, ("crack", "hole"), 16
    )
    detector = MultiAdsDetector(settings).eval()
    load_backbone(detector.features.backbone, weights)
    anchors = image_anchors(detector, training_set)
    good = sum(picture.row == 0 for picture in training_set.train)
    assert anchors.inputs.shape == (good, 16)
    assert anchors.products.tolist() == anchors.rows.tolist() == [0] * good
    assert torch.allclose(anchors.inputs, F.normalize(anchors.inputs, dim=-1), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            [
                "--method",
                "mavis",
                "--preset",
                "standard",
                "--weights",
                "random",
                "--n-pair",
                "image",
                "--labelled",
                "1",
            ],
            "--n-pair image: random weights have no image vector; leave it out, or give a CLIP",
        ),
        (["--method", "mavis", "--n-pair", "cell"], "--n-pair: expected one of image, patch, got"),
        (["--n-pair", "patch"], "--n-pair: expected with --method mavis only, got inp-former"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], problem: str, plates: Path, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    out = str(tmp_path / "run")
    result = CliRunner().invoke(app, ["--data", str(plates), "--out", out, *arguments])
    assert isinstance(result.exception, ConfigError)
    assert problem in str(result.exception)


def test_the_command_prints_the_negation_error(plates: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    arguments = ["--data", str(plates), "--out", str(tmp_path / "run"), "--method", "mavis",
                 "--size", "160x128", "--labelled", "2", "--epochs", "1"]  # fmt: skip
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    learned = read_record(tmp_path / "run").adapters
    assert learned is not None
    before, after = learned.negation_errors
    assert f"good cells nearest to a defect's text {before:.1%} -> {after:.1%}" in result.output
