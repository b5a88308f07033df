from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.golden_pictures import read_golden, write_golden
from edge.data.image_set import Sample, read_pixels
from edge.errors import TrainingError


@pytest.fixture
def held_out(tmp_path: Path) -> list[Sample]:
    """Eleven pictures, told apart by their brightness."""
    samples = []
    for number in range(11):
        pixels = np.full((64, 64, 3), 20 * number, np.uint8)
        pixels[::8] += 10
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
        samples.append(Sample(tmp_path / f"{number}.png", "good", str(number)))
    return samples


def test_good_ones_span_the_scores_but_not_the_highest(
    held_out: list[Sample], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    # The scores fall as the brightness rises.
    write_golden(run, held_out, [float(10 - number) for number in range(11)], seed=0)
    golden = read_golden(run)
    assert [picture.label for picture in golden] == [
        "good", "good", "good", "scar", "spot", "cut_paste",
    ]  # fmt: skip
    pixels = [read_pixels(picture.path) for picture in golden]
    brightness = [int(picture[1, 0, 0]) for picture in pixels[:3]]
    assert brightness == [200, 100, 40], "lowest, median and 80th percentile of the scores"
    for changed in pixels[3:]:
        share = (changed != pixels[1]).any(-1).mean()
        assert 0 < share < 0.5, "a defect on the median picture"


def test_the_same_seed_gives_the_same_pictures(held_out: list[Sample], tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_golden(tmp_path / name, held_out, [float(n) for n in range(11)], seed=3)
        files.append([picture.path.read_bytes() for picture in read_golden(tmp_path / name)])
    assert files[0] == files[1]


def test_a_run_without_golden_pictures_must_be_trained_again(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no golden pictures; train the run again"):
        read_golden(tmp_path)
