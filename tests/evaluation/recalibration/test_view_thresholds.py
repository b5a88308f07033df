"""Thresholds of views: the rate is that of parts, and what does not hold for parts is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataError, ThresholdError
from edge.evaluation.recalibration.judged import Score
from edge.evaluation.recalibration.view_pictures import view_pictures
from edge.evaluation.recalibration.view_thresholds import fit_views

LEVEL = {"side": 0.6, "top": 0.3}


def good(count: int, seed: int = 0, days: int = 1) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [
        Score(float(rng.normal(LEVEL[view], 0.05)), f"part {part}", True, f"d{part % days}", view)
        for part in range(count)
        for view in LEVEL
    ]


def test_each_view_has_a_threshold_and_parts_are_rejected_at_the_rate() -> None:
    rejected = []
    for seed in range(30):
        found = fit_views(good(59, seed), [], 0.1)
        limits = {view: own.value for view, own in found.thresholds.items()}
        fresh = good(300, 1000 + seed)
        odd = {each.part for each in fresh if each.score > limits[str(each.camera)]}
        rejected.append(len(odd) / 300)
    assert found.thresholds["side"].value > found.thresholds["top"].value + 0.2
    assert (found.common.groups, found.common.n, found.common.method) == (59, 59, "joint-views")
    # 0.1 by the theorem; the mean of 30 such lines has a standard error of 0.008.
    assert np.mean(rejected) == pytest.approx(0.1, abs=0.025)
    assert [each.factor for each in found.tested] == ["order"]


def test_of_several_pictures_of_a_view_the_highest_counts() -> None:
    scores = good(30)
    lower = [each._replace(score=each.score - 1) for each in scores]
    assert fit_views([*scores, *lower], [], 0.1).thresholds == fit_views(scores, [], 0.1).thresholds


def test_parts_that_lack_a_view_set_nothing_and_are_counted() -> None:
    found = fit_views([*good(30), Score(9.0, "half", True, "d0", "top")], [], 0.1)
    assert (found.incomplete, found.common.groups) == (1, 30)
    unpaired = [each._replace(part=f"{each.part} {each.camera}") for each in good(30)]
    with pytest.raises(ThresholdError, match=r"found 0; 60 more lack a view; say by split\.csv"):
        fit_views(unpaired, [], 0.1)


def test_what_supports_no_such_thresholds() -> None:
    with pytest.raises(ThresholdError, match="at least 19 good parts in each of the views side"):
        fit_views(good(18), [], 0.1)
    with pytest.raises(ThresholdError, match="expected pictures of several views, found top"):
        fit_views([each for each in good(30) if each.camera == "top"], [], 0.1)
    with pytest.raises(ThresholdError, match="--leave-out x: expected one of the good parts"):
        fit_views(good(30), [], 0.1, ["x"])


def test_a_day_that_differs_in_one_view_is_named() -> None:
    shifted = [
        each._replace(score=each.score + 0.3) if (each.day, each.camera) == ("d1", "top") else each
        for each in good(80, days=4)
    ]
    with pytest.raises(ThresholdError, match="not exchangeable: day d1 has a median of"):
        fit_views(shifted, [], 0.1)


def test_a_part_far_above_all_others_in_one_view_is_named() -> None:
    scores = [
        *good(40, seed=3),
        Score(0.6, "odd", True, "d0", "side"),
        Score(3.0, "odd", True, "d0", "top"),
    ]
    with pytest.raises(ThresholdError, match=r"part odd has a median of 3\.000 in view top"):
        fit_views(scores, [], 0.1)
    assert fit_views(scores, [], 0.1, ["odd"]).common.left_out == ("odd",)


def test_a_defective_part_is_missed_only_if_no_view_shows_it() -> None:
    defects = [
        Score(score, part, False, None, view)
        for part, scores in {"a": (0.1, 0.9), "b": (0.9, 0.1), "c": (0.1, 0.1)}.items()
        for view, score in zip(LEVEL, scores, strict=True)
    ]
    found = fit_views(good(59), defects, 0.1)
    assert found.misses is not None
    assert (found.misses.defects, found.misses.missed) == (3, 1)
    assert found.thresholds == fit_views(good(59), [], 0.1).thresholds


def test_the_band_holds_back_about_as_many_as_are_rejected() -> None:
    found = fit_views(good(199), [], 0.05)
    assert 0.03 < found.held_back < 0.07
    assert 0 < found.undecided_p < 0.2


def pictures(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), number, np.uint8))


def test_folders_of_views_hold_the_same_parts_by_name(tmp_path: Path) -> None:
    for view in ("top", "side"):
        pictures(tmp_path / view, "test/good/1.png", "test/good/2.png", "test/dust/3.png")
    total, shown = view_pictures(tmp_path)
    assert total == 6
    assert sorted((str(e.camera), e.part, e.label) for e in shown) == [
        (view, part, label)
        for view in ("side", "top")
        for part, label in (("1", "good"), ("2", "good"), ("3", "dust"))
    ]


def test_names_of_pictures_tell_the_view_and_split_csv_the_part(tmp_path: Path) -> None:
    names = ["top-20260501T060000123456Z.png", "side-20260501T060000123456Z.png"]
    pictures(tmp_path, *names)
    rows = "".join(f"{name},p1\n" for name in names)
    (tmp_path / "split.csv").write_text(f"file,group\n{rows}")
    _, shown = view_pictures(tmp_path)
    assert sorted((str(each.camera), each.part) for each in shown) == [
        ("side", "p1"),
        ("top", "p1"),
    ]


def test_pictures_without_a_view_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png")
    with pytest.raises(DataError, match="expected pictures whose names tell their camera"):
        list(view_pictures(tmp_path)[1])
    pictures(tmp_path / "v", "a b/1.png")
    with pytest.raises(DataError, match="'a b' cannot name a view"):
        view_pictures(tmp_path / "v")
    with pytest.raises(DataError, match="no such folder"):
        view_pictures(tmp_path / "none")
