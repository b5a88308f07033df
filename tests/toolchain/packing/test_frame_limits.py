from __future__ import annotations

import shutil
from dataclasses import replace
from math import comb
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle.frame_limits import FrameLimits, Layout
from edge.bundle.frame_limits_file import frames_file, read_frame_limits, without_limits
from edge.bundle.store import open_bundle
from edge.data.frame_record import FILE, read_frames, write_frames
from edge.data.image_set import Sample
from edge.errors import BundleCorrupt, TrainingError
from edge.inspection.frame_check import ALL_NAMES
from edge.inspection.frame_statistics import FrameStatistics, measure
from edge.toolchain.packing.frame_limits import fit_limits, frame_format, learn_frames
from tests.support.any_frame_bundle import PACKAGED_BUNDLE


def frames(count: int, size_wh: tuple[int, int] = (48, 32)) -> list[FrameStatistics]:
    rng = np.random.default_rng(count)
    width, height = size_wh
    levels = rng.uniform(90, 110, count)
    return [
        measure(rng.normal(level, 20, (height, width, 3)).clip(0, 255).astype(np.uint8))
        for level in levels
    ]


def names(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def test_every_size_is_recorded_while_they_are_few() -> None:
    found = frame_format([*frames(3), *frames(2, (40, 32))])
    assert found.sizes_wh == ((40, 32), (48, 32))
    assert found.takes((40, 32))
    assert not found.takes((44, 32))
    assert found.sizes() == "40x32 or 48x32"


def test_many_sizes_become_widened_ranges() -> None:
    found = frame_format([frames(1, (80 + 8 * index, 160 - index))[0] for index in range(12)])
    assert found.sizes_wh == ()
    assert (found.width, found.height) == ((70, 189), (130, 180))
    assert found.takes((70, 180))
    assert not found.takes((69, 180))
    assert not found.takes((80, 75)), "half the height"


def test_limits_are_beyond_every_good_frame_and_state_their_rate() -> None:
    good = frames(60)
    limits = fit_limits(good, names(60))
    assert limits is not None
    assert set(limits.ranges) == set(ALL_NAMES)
    brightness = [float(frame.values[0]) for frame in good]
    low, high = limits.ranges["brightness"]
    spread = float(np.std(brightness))
    assert min(brightness) - 3 * spread < low < min(brightness) - 0.5 * spread
    assert max(brightness) + 0.5 * spread < high < max(brightness) + 3 * spread
    assert (limits.frames, limits.groups) == (60, 60)
    # With the stated rate, so few of 60 parts are outside with a probability of 5 %.
    rate, outside = limits.false_alarms95, limits.outside
    chance = sum(comb(60, k) * rate**k * (1 - rate) ** (60 - k) for k in range(outside + 1))
    assert outside <= 1
    assert chance == pytest.approx(0.05, abs=1e-3)


def test_pictures_of_few_parts_state_less() -> None:
    many, few = fit_limits(frames(60), names(60)), fit_limits(frames(60), names(6) * 10)
    assert many is not None
    assert few is not None
    assert few.false_alarms95 > 5 * many.false_alarms95


def test_one_part_and_few_frames() -> None:
    assert fit_limits(frames(20), ["same"] * 20) is not None
    assert fit_limits(frames(5), names(5)) is None


def test_a_frame_unlike_the_rest_widens_the_limits_no_further_than_itself_and_a_margin() -> None:
    good = frames(40)
    bright = replace(good[0], values=good[0].values.copy())
    bright.values[0] = 250.0
    limits = fit_limits([bright, *good[1:]], names(40))
    assert limits is not None
    assert 250 < limits.ranges["brightness"][1] < 250 + 5 * 30
    assert limits.outside == 1


def test_a_run_keeps_what_was_measured(tmp_path: Path) -> None:
    samples = []
    for index in range(8):
        path = tmp_path / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 255, (20, 30, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
        samples.append(Sample(path, "good", f"{'a' if index < 5 else 'b'}/{index}", None))
    assert read_frames(tmp_path) is None
    write_frames(tmp_path, samples)
    record = read_frames(tmp_path)
    assert record is not None
    assert record.groups == tuple(sample.group for sample in samples)
    assert record.frames[3].values == pytest.approx(
        measure(cv2.imread(str(samples[3].path))).values
    )
    assert [len(record.of_product(name).frames) for name in "abc"] == [5, 3, 0]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:200])
    with pytest.raises(TrainingError, match=r"frames\.npz: missing or damaged"):
        read_frames(tmp_path)


def test_a_run_from_before_keeps_the_range_of_brightness(tmp_path: Path) -> None:
    learned = learn_frames(tmp_path, None, [(100.0, 40.0), (104.0, 41.0)])
    assert learned.frames is None
    assert learned.frame_quality is not None
    assert list(tmp_path.iterdir()) == []


def test_the_packaged_bundle_has_limits_and_a_bundle_from_before_has_none() -> None:
    bundle = open_bundle(PACKAGED_BUNDLE)
    assert bundle.recipe.frames is not None
    assert bundle.recipe.frames.sizes() == "256x256"
    assert bundle.recipe.frames.colour == "grey"
    limits = read_frame_limits(bundle)
    assert limits is not None
    assert set(limits.ranges) == set(ALL_NAMES)
    assert read_frame_limits(without_limits(bundle)) is None


def test_exchanged_limits_are_noticed(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PACKAGED_BUNDLE, tmp_path / "bundle"))
    bundle = open_bundle(folder)
    path = folder / frames_file()
    path.write_text(path.read_text().replace('"frames":228', '"frames":229'))
    with pytest.raises(BundleCorrupt, match=r"frames\.json was altered"):
        read_frame_limits(bundle)


def test_limits_that_make_no_sense_are_no_limits() -> None:
    limits = fit_limits(frames(20), names(20))
    assert limits is not None
    data = limits.model_dump(by_alias=True)
    with pytest.raises(ValueError, match="expected low <= high"):
        FrameLimits.model_validate({**data, "ranges": {"brightness": (2.0, 1.0)}})
    with pytest.raises(ValueError, match="finite"):
        FrameLimits.model_validate({**data, "ranges": {"brightness": (0.0, float("inf"))}})
    with pytest.raises(ValueError, match="of one length"):
        Layout(mean=(1.0, 2.0), deviation=(1.0,), directions=())
