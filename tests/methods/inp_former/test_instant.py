"""Runs of few good parts at once: what they hold, and what their threshold rests on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge.bundle.store import open_bundle
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.errors import ThresholdError, TrainingError
from edge.methods.inp_former.instant import _without_training, fit_instant
from edge.methods.inp_former.instant_features import ORIGINAL, Pool, views_each
from edge.methods.inp_former.instant_fitting import shrunk_positions
from edge.methods.inp_former.instant_folds import by_other_places, folds
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.request import Request
from edge.methods.presets import find_preset, model_settings
from edge.methods.registry import find_method
from edge.methods.run import (
    read_calibration,
    read_model,
    read_record,
    unfinished_run,
    write_record,
)
from edge.methods.run_files import in_place_of, is_instant
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.training.run_folder import write_calibration

SIZE_WH = (160, 128)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def few(plates: Path, count: int, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for sample in read_image_set(plates).train[:count]:
        (folder / sample.path.name).symlink_to(sample.path)
    return folder


def request(data: Path | Sequence[Path]) -> Request:
    return Request(data=data, preset=find_preset("lite"), size_wh=SIZE_WH, instant=True)


@pytest.fixture(scope="module")
def run_of_four(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instant")
    data = few(plates, 4, folder / "plates")
    find_method("inp-former").fit(request(data), folder / "run", no_bar)
    return folder / "run"


def test_four_parts_make_a_bundle_that_claims_no_more_than_they_support(
    run_of_four: Path, tmp_path: Path
) -> None:
    record = read_record(run_of_four)
    assert record.instant is not None
    assert (record.data.train_images, record.data.held_out_images) == (4, 0)
    bundle = pack_bundle(run_of_four, tmp_path / "bundle", PackOptions(), lambda _: None)
    stated = open_bundle(bundle.folder).thresholds.score
    assert (stated.method, stated.n, stated.groups) == ("cross-conformal", 4, 4)
    assert stated.alpha == pytest.approx(1 / 5), "the lowest rate that four parts support"
    assert stated.value == max(read_calibration(run_of_four).scores)
    assert stated.bound95 > 0.5
    card = (bundle.folder / "card.md").read_text()
    assert "instant: the false-reject rate is not proven, collect 99 good parts and train" in card
    assert "none; scores are of parts left out" in card


def test_defects_score_higher_than_the_good_parts_they_were_drawn_on(
    run_of_four: Path, plates: Path
) -> None:
    detector = read_model(run_of_four, read_record(run_of_four))
    test = read_image_set(plates).test

    def mean(samples: list[Sample]) -> float:
        frames = [torch.from_numpy(read_pixels(s.path)[..., ::-1].copy()) for s in samples]
        return float(detector(torch.stack(frames)).score.mean())

    good = mean([s for s in test if s.is_good])
    bad = mean([s for s in test if not s.is_good])
    assert bad > good + 0.2


def test_a_part_is_judged_by_what_the_others_teach(run_of_four: Path, plates: Path) -> None:
    """The finished model knows the part: what it says of it is lower, and sets no threshold."""
    detector = read_model(run_of_four, read_record(run_of_four))
    left_out = read_calibration(run_of_four)
    own = []
    for sample in read_image_set(plates).train[:4]:
        frame = torch.from_numpy(read_pixels(sample.path)[..., ::-1].copy())
        own.append(float(detector(frame[None]).score))
    assert len(left_out.scores) == 4
    assert all(known < unknown for known, unknown in zip(own, left_out.scores, strict=True))


def test_inp_former_is_not_in_the_graph(run_of_four: Path) -> None:
    detector = read_model(run_of_four, read_record(run_of_four))
    assert set(detector.branches.names) <= {"memory", "position", "probe"}
    assert float(detector.branches.weight.sum()) == pytest.approx(1)


def test_one_picture_is_judged_by_its_other_places_and_says_so(
    plates: Path, tmp_path: Path
) -> None:
    data = few(plates, 1, tmp_path / "plates")
    record = fit_instant(request(data), tmp_path / "run", no_bar)
    assert record.instant is not None
    assert record.instant.scores_from == "places of one picture"
    assert record.model.branches.position_dims == 0, "one picture says nothing of positions"
    bundle = pack_bundle(tmp_path / "run", tmp_path / "bundle", PackOptions(), lambda _: None)
    stated = bundle.thresholds.score
    assert (stated.method, stated.n, stated.groups) == ("other-places", 1, 1)
    assert (stated.alpha, stated.bound95) == pytest.approx((0.5, 0.95))
    assert "a single picture, each quarter judged by" in (bundle.folder / "card.md").read_text()


def with_scores(run: Path, folder: Path, *scores: float) -> Path:
    """A copy of a run whose good parts have scored otherwise."""
    shutil.copytree(run, folder)
    kept = read_calibration(run)
    write_calibration(folder, replace(kept, scores=scores))
    return folder


def test_a_part_unlike_the_others_is_named_and_does_not_keep_the_bundle_from_rejecting(
    run_of_four: Path, tmp_path: Path
) -> None:
    run = with_scores(run_of_four, tmp_path / "run", 0.5, 99.0, 0.6, 0.4)
    bundle = pack_bundle(run, tmp_path / "bundle", PackOptions(), lambda _: None)
    stated = bundle.thresholds.score
    assert (stated.value, stated.alpha) == (0.6, pytest.approx(2 / 5))
    card = (bundle.folder / "card.md").read_text()
    name = read_calibration(run).groups[1]
    assert f"good parts over the threshold of 0.60: {name} (99.00). To the other parts" in card
    assert "decision.undecided_p: 0.70 in the station file" in card


@pytest.mark.slow
def test_a_run_that_rejects_nothing_at_any_rate_is_refused(
    run_of_four: Path, tmp_path: Path
) -> None:
    run = with_scores(run_of_four, tmp_path / "run", 99.0, 99.0, 99.0, 99.0)
    with pytest.raises(ThresholdError, match="it cannot reject"):
        pack_bundle(run, tmp_path / "bundle", PackOptions(), lambda _: None)


@pytest.mark.slow
def test_a_rate_that_was_asked_for_is_not_raised(run_of_four: Path, tmp_path: Path) -> None:
    run = with_scores(run_of_four, tmp_path / "run", 0.5, 99.0, 0.6, 0.4)
    with pytest.raises(ThresholdError, match="it cannot reject"):
        pack_bundle(run, tmp_path / "bundle", PackOptions(alpha=0.2), lambda _: None)


def test_places_are_judged_by_other_quarters() -> None:
    """A mark that is nowhere else is strange to the other quarters, though the picture shows it."""
    settings = model_settings(find_preset("lite"), (128, 128), "random")
    detector = build(_without_training(settings, 1), "random", 0)
    tokens = torch.ones(1, 1, 64, sum(detector.features.channels)).half()
    tokens[0, 0, 9, ::2] = 20
    found = by_other_places(detector, Pool(tokens, torch.tensor([0]), (ORIGINAL,)), 0)
    memory = found[0, detector.branches.names.index("memory")].flatten()
    assert int(memory.argmax()) in range(18), "beside the mark, by the mean over its neighbourhood"
    assert float(memory[-1]) == pytest.approx(0, abs=1e-2), "but for rounding"
    assert float(memory[9]) > 0.05


def test_several_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--instant: expected one --data"):
        fit_instant(request([tmp_path / "a", tmp_path / "b"]), tmp_path / "run", no_bar)


def test_a_trained_run_is_not_instant(run_of_four: Path, tmp_path: Path) -> None:
    assert is_instant(run_of_four)
    assert not is_instant(tmp_path)
    write_record(tmp_path, read_record(run_of_four).model_copy(update={"instant": None}))
    assert not is_instant(tmp_path)


def test_another_run_takes_the_place_of_an_instant_one(
    run_of_four: Path, plates: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run_of_four, out)
    with pytest.raises(TrainingError, match="holds a finished run"):
        unfinished_run(out)
    with in_place_of(out):
        fit_instant(request(few(plates, 1, tmp_path / "plates")), out, no_bar)
    assert read_record(out).data.train_images == 1


def pool(pictures: list[int], kinds: list[str]) -> Pool:
    count = len(pictures)
    return Pool(torch.zeros(count, 1, 4, 2).half(), torch.tensor(pictures), tuple(kinds))


def parts(*groups: str) -> list[Sample]:
    return [Sample(Path(f"{place}.png"), "good", group) for place, group in enumerate(groups)]


def test_whole_parts_are_left_out_with_all_their_views() -> None:
    views = pool([0, 0, 1, 1, 2, 2], [ORIGINAL, "shift"] * 3)
    found = folds(parts("a", "b", "a"), views)
    assert [fold.tolist() for fold in found] == [
        [True, True, False, False, True, True],
        [False, False, True, True, False, False],
    ]


def test_more_parts_are_left_out_in_five_shares_of_neighbours() -> None:
    found = folds(parts(*"abcdefghij"), pool(list(range(10)), [ORIGINAL] * 10))
    assert [fold.nonzero().flatten().tolist() for fold in found] == [
        [0, 1], [2, 3], [4, 5], [6, 7], [8, 9],
    ]  # fmt: skip


def test_pictures_of_one_part_are_left_out_one_by_one() -> None:
    found = folds(parts("a", "a", "a"), pool([0, 1, 2], [ORIGINAL] * 3))
    assert torch.stack(found).int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_views_of_a_single_picture_are_left_out_by_the_kind_of_change() -> None:
    views = pool([0, 0, 0, 0], [ORIGINAL, "shift", "exposure", "shift"])
    found = folds(parts("a"), views)
    assert torch.stack(found).int().tolist() == [[0, 0, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("pictures", "tiles", "views"), [(1, 1, 9), (5, 1, 8), (24, 1, 1), (99, 1, 0)]
)
def test_fewer_views_are_made_of_more_pictures(pictures: int, tiles: int, views: int) -> None:
    assert views_each(pictures, tiles) == views
    assert views_each(pictures, 4 * tiles) <= views


def test_covariances_of_few_pictures_lean_on_that_of_all_positions() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(6, 9, 12, generator=generator)
    tokens[:, 0] *= 0.01  # one position that hardly varies
    spread = {
        pictures: shrunk_positions(tokens, 4, pictures)(tokens[:1].roll(1, 1))[0, 0]
        for pictures in (1, 10_000)
    }
    assert spread[1] < spread[10_000]
