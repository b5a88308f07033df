"""Every bundle that is packed holds a golden picture that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.data.golden_pictures import GoldenPicture
from edge.data.image_set import read_pixels
from edge.picture_file import encode_picture
from edge.toolchain.packing.failing_picture import NothingRejected, with_failing_picture
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
    found = with_failing_picture(
        [good], reference, lambda _: Outcome(MAP, 9.0), [1.0, 1.9], tmp_path
    )
    assert found == ([good], reference)


@pytest.mark.parametrize("threshold", [0.5, 60.0])
def test_one_is_added_that_fails_by_every_threshold(
    good: GoldenPicture, tmp_path: Path, threshold: float
) -> None:
    pictures, reference = with_failing_picture(
        [good], [Outcome(MAP, 0.1)], lambda p: changed(good, p), [0.2, threshold], tmp_path
    )
    assert len(pictures) == len(reference) == 2
    assert reference[1].score > threshold
    assert changed(good, pictures[1]).score == reference[1].score
    assert pictures[1].path.name.startswith("01_")


def test_a_detector_that_finds_noise_dull_is_shown_regular_pictures(
    good: GoldenPicture, tmp_path: Path
) -> None:
    def judge(picture: GoldenPicture) -> Outcome:
        pixels = read_pixels(picture.path)
        return Outcome(MAP, 9.0 if (pixels[:4, :4] == 0).all() and (pixels == 255).any() else 0.0)

    pictures, reference = with_failing_picture([good], [Outcome(MAP, 0.1)], judge, [1.0], tmp_path)
    assert (pictures[1].label, reference[1].score) == ("squares", 9.0)


def test_a_model_that_rejects_nothing_is_not_packed(good: GoldenPicture, tmp_path: Path) -> None:
    with pytest.raises(NothingRejected, match="it cannot reject") as refused:
        with_failing_picture(
            [good], [Outcome(MAP, 0.5)], lambda _: Outcome(MAP, 0.4), [0.5], tmp_path
        )
    assert refused.value.reached == 0.4
