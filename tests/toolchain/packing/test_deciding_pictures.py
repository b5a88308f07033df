"""Every bundle that is packed holds a golden picture that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.data.golden_pictures import GoldenPicture
from edge.data.image_set import read_pixels
from edge.picture_file import encode_picture
from edge.toolchain.packing.deciding_pictures import (
    NothingRejected,
    deciding_pictures,
    off_the_threshold,
)
from edge.toolchain.parity import Outcome

MAP = np.zeros((4, 4), np.float32)


@pytest.fixture
def good(tmp_path: Path) -> GoldenPicture:
    pixels = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 80, 3))
    path = tmp_path / "00_good.png"
    path.write_bytes(encode_picture(pixels))
    return GoldenPicture(path, "good")


def changed(good: GoldenPicture, picture: GoldenPicture) -> Outcome:
    """Score a picture by the mean difference from the good one."""
    one, other = (read_pixels(p.path).astype(np.int16) for p in (good, picture))
    return Outcome(MAP, float(np.abs(one - other).mean()))


def test_a_set_that_has_one_stays_as_it_is(good: GoldenPicture, tmp_path: Path) -> None:
    reference = [Outcome(MAP, 2.0)]
    found = deciding_pictures([good], reference, lambda _: Outcome(MAP, 9.0), [1.0, 1.9], tmp_path)
    assert found == ([good], reference)


@pytest.mark.parametrize("threshold", [0.5, 60.0])
def test_one_is_added_that_fails_by_every_threshold(
    good: GoldenPicture, tmp_path: Path, threshold: float
) -> None:
    pictures, reference = deciding_pictures(
        [good], [Outcome(MAP, 0.1)], lambda p: changed(good, p), [0.2, threshold], tmp_path
    )
    assert len(pictures) == len(reference) == 2
    assert reference[1].score > threshold
    assert changed(good, pictures[1]).score == reference[1].score
    assert pictures[1].path.name.startswith("failing_")


def test_a_detector_that_finds_noise_dull_is_shown_regular_pictures(
    good: GoldenPicture, tmp_path: Path
) -> None:
    def judge(picture: GoldenPicture) -> Outcome:
        pixels = read_pixels(picture.path)
        return Outcome(MAP, 9.0 if (pixels[:4, :4] == 0).all() and (pixels == 255).any() else 0.0)

    pictures, reference = deciding_pictures([good], [Outcome(MAP, 0.1)], judge, [1.0], tmp_path)
    assert (pictures[1].label, reference[1].score) == ("squares", 9.0)


def test_a_model_that_rejects_nothing_is_not_packed(good: GoldenPicture, tmp_path: Path) -> None:
    with pytest.raises(NothingRejected, match="it cannot reject") as refused:
        deciding_pictures([good], [Outcome(MAP, 0.5)], lambda _: Outcome(MAP, 0.4), [0.5], tmp_path)
    assert refused.value.reached == 0.4


def left(threshold: float, *scores: float) -> list[float]:
    pictures = [GoldenPicture(Path(f"{score}.png"), "good") for score in scores]
    reference = [Outcome(MAP, score) for score in scores]
    kept, outcomes = off_the_threshold(pictures, reference, threshold)
    assert [picture.path.stem for picture in kept] == [str(one.score) for one in outcomes]
    return [outcome.score for outcome in outcomes]


def test_a_picture_on_the_threshold_is_left_out_on_either_side() -> None:
    """The threshold is the very score of a good part, which another machine rounds differently."""
    assert left(0.5, 0.2, 0.5, 0.500001, 0.499999, 0.52, 3.0) == [0.2, 0.52, 3.0]


def test_one_that_an_engine_must_decide_stays() -> None:
    assert left(0.5, 0.2, 0.498, 0.502) == [0.2, 0.498, 0.502]


def test_a_threshold_next_to_nothing_is_measured_by_the_highest_score() -> None:
    assert left(0.0, -1.0, 1e-5, 0.5, 10.0) == [-1.0, 0.5, 10.0]


def test_the_part_that_must_pass_stays() -> None:
    assert left(0.5, 0.5, 2.0) == [0.5, 2.0]


def test_one_on_the_threshold_is_neither_kept_nor_the_one_that_fails(
    good: GoldenPicture, tmp_path: Path
) -> None:
    near = GoldenPicture(good.path, "spot")
    pictures, reference = deciding_pictures(
        [good, near],
        [Outcome(MAP, 0.1), Outcome(MAP, 1.00001)],
        lambda _: Outcome(MAP, 9.0),
        [1.0],
        tmp_path,
    )
    assert [outcome.score for outcome in reference] == [0.1, 9.0]
    assert near not in pictures
