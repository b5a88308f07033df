"""Run -> fast form -> bundle: what it learns from, what it is held against, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.data.products import read_products
from edge.engines.load import load_engine
from edge.errors import ParityError, ToolchainError
from edge.inspection.scorer import FrameScorer
from edge.methods.run import read_model, read_record, write_record
from edge.toolchain.fast_form.agreement import AGREEMENT
from edge.toolchain.fast_form.distillation import Schedule, train_head
from edge.toolchain.fast_form.form import Effort, FastForm, distil, new_network
from edge.toolchain.fast_form.lessons import Lessons, planned
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from tests.support.tiny_runs import dinov2, write_run

SMALL = Effort(lessons=66, steps=250)


def no_bars(_stage: str, _total: int):  # type: ignore[no-untyped-def]
    return lambda _done: None


@pytest.fixture(scope="module")
def form(run: Path, plates: Path) -> FastForm:
    return distil(run, [plates], no_bars, accept_lower=True, effort=SMALL)


@pytest.fixture(scope="module")
def bundle_folder(run: Path, form: FastForm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "fast"
    pack_bundle(run, out, PackOptions(fast=form), lambda _: None)
    return out


def test_the_threshold_stands_on_held_out_parts(form: FastForm, run: Path, plates: Path) -> None:
    products = read_products([plates], read_record(run).training.seed)
    assert form.calibration.files == tuple(s.path.name for s in products.held_out)
    learned = {sample.path for sample in planned(products.train)[0]}
    assert not learned & {sample.path for sample in products.held_out}
    shown = torch.from_numpy(_inputs(form, read_pixels(products.held_out[0].path)))
    score = float(form.network(shown).score)
    assert form.calibration.scores[0] == pytest.approx(score, abs=1e-5)


def test_the_head_learns_what_the_full_form_says(form: FastForm, run: Path) -> None:
    """An untrained head ranks nothing; the trained one ranks as the full form does, nearly."""
    assert form.agreement.rank_correlation > 0.6
    assert form.agreement.fast_recall[1] > 0.5 * form.agreement.full_recall[1]


def test_the_bundle_runs_as_any_other(bundle_folder: Path, form: FastForm, plates: Path) -> None:
    bundle = open_bundle(bundle_folder)
    assert [output.name for output in bundle.graph.outputs] == ["map", "score"]
    (parity,) = bundle.manifest.parity
    assert parity.passed
    assert parity.score_difference < 1e-4
    assert bundle.thresholds.score.n == len(form.calibration.scores)
    picture = read_image_set(plates).test[-1]
    with load_engine(bundle, EngineSettings()) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        found = scorer.score(read_pixels(picture.path))
    expected = form.network(torch.from_numpy(_inputs(form, read_pixels(picture.path))))
    assert found.score == pytest.approx(float(expected.score), abs=1e-3)
    np.testing.assert_allclose(found.map, expected.map[0].numpy(), atol=1e-3)


def test_the_bundle_says_what_it_lost(bundle_folder: Path, form: FastForm) -> None:
    written = json.loads((bundle_folder / AGREEMENT).read_text())
    assert written["rank_correlation"] == form.agreement.rank_correlation
    assert written["limits"] == {"rank_correlation": 0.8, "recall_lost": 0.1}
    card = " ".join((bundle_folder / "card.md").read_text().split())
    assert f"rank correlation {form.agreement.rank_correlation:.3f}" in card
    assert "recall at 5% false rejects" in card
    assert AGREEMENT in open_bundle(bundle_folder).manifest.files


def test_the_deeper_stages_are_left_out(form: FastForm, run: Path) -> None:
    full = read_model(run, read_record(run))
    counts = [
        sum(t.numel() for t in network.state_dict().values()) for network in (full, form.network)
    ]
    assert counts[1] < 0.4 * counts[0]


def test_lessons_are_spread_over_all_training_pictures() -> None:
    for count, expected in ((21, (20, 15)), (182, (100, 3)), (4, (4, 30))):
        train = [Sample(Path(f"{number}.png"), "good", str(number)) for number in range(count)]
        pictures, each = planned(train, 300)
        assert (len(pictures), each) == expected
        places = [train.index(sample) for sample in pictures]
        assert len(set(places)) == len(places)
        assert places[-1] >= count - -(-count // len(pictures)), "to the end"


def test_types_are_left_out_and_said(form: FastForm, run: Path) -> None:
    record = read_record(run)
    typed = record.model_copy(
        update={"model": record.model.model_copy(update={"types": ("crack",)})}
    )
    assert form.record_of(typed).model.types == ()


def test_a_form_that_learned_nothing_is_refused(run: Path, plates: Path) -> None:
    with pytest.raises(ParityError, match="--fast: expected a rank correlation"):
        distil(run, [plates], no_bars, effort=Effort(lessons=6, steps=1))


def test_other_pictures_are_refused(run: Path, plates: Path, tmp_path: Path) -> None:
    other = tmp_path / "plates"
    shutil.copytree(plates, other)
    next((other / "train" / "good").iterdir()).unlink()
    with pytest.raises(ToolchainError, match="are not the pictures"):
        distil(run, [other], no_bars, effort=SMALL)


def test_a_cross_fitted_run_is_known_by_its_pictures(
    run: Path, plates: Path, tmp_path: Path
) -> None:
    """Cross-fitting reads pictures in another order than a split does; parts are held out now."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    record = read_record(copy)
    training = record.training.model_copy(update={"folds": 2})
    products = read_products([plates], training.seed, shares=training.shares)
    data = products.record(record.data.frame_wh)
    assert data.pictures_sha256 != record.data.pictures_sha256, "the order differs"
    write_record(copy, record.model_copy(update={"training": training, "data": data}))
    found = distil(copy, [plates], no_bars, accept_lower=True, effort=Effort(lessons=6, steps=2))
    split = read_products([plates], training.seed)
    assert found.calibration.files == tuple(sample.path.name for sample in split.held_out)


def test_only_convolutional_runs_have_a_fast_form(plates: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run", dinov2(), plates)
    with pytest.raises(ToolchainError, match="expected a run of the preset lite"):
        distil(tmp_path / "run", [plates], no_bars)


def test_training_folds_scales_and_places_into_the_head(run: Path) -> None:
    """Training sees standardised features; the finished head gives the same for plain ones."""
    full = read_model(run, read_record(run))
    fast = new_network(full)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (4, 128, 160, 3), generator=generator).to(torch.uint8)
    levels = fast.levels(frames)
    target = torch.linspace(-1, 3, 4 * 2 * 8 * 10).reshape(4, 2, 8, 10)
    lessons = Lessons(
        tuple(level.half() for level in levels), target, torch.tensor([True] * 4), torch.zeros(4, 2)
    )
    train_head(fast, lessons, Schedule(250, 0), lambda _: None)
    found = fast.head(levels)
    assert float((found - target).abs().mean()) < 0.3, "four pictures are learned by heart"
    assert not any(weight.requires_grad for weight in fast.parameters())


def _inputs(form: FastForm, pixels):  # type: ignore[no-untyped-def]
    from edge.data.frames import InputShape, network_inputs

    return network_inputs(pixels, InputShape(form.network.settings.size_wh))
