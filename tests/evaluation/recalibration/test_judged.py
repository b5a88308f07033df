"""Parts of an archive: a verdict is no truth, and names tell day and camera."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.errors import DataError
from edge.evaluation.recalibration.judged import archive_pictures, camera_pictures
from tests.support.archives import part, write_archive


def frames_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def archive(folder: Path) -> Path:
    parts = [
        part(1, "pass", part_id="a"),
        part(2, "fail", part_id="b"),
        part(3, "fail", part_id="c", label="good"),
        part(4, "pass", part_id="d", label="scratch"),
    ]
    write_archive(folder, parts)
    return folder


def test_only_known_truth_counts_unless_all_were_good(tmp_path: Path) -> None:
    folder = archive(tmp_path / "archive")
    total, shown = archive_pictures(folder, None, None, all_good=False)
    assert total == 2
    assert [(each.part, each.is_good) for each in shown] == [("c", True), ("d", False)]
    _, shown = archive_pictures(folder, None, None, all_good=True)
    found = list(shown)
    assert [(each.part, each.is_good) for each in found] == [
        ("a", True), ("b", True), ("c", True), ("d", False),
    ]  # fmt: skip
    assert {(each.day, each.camera) for each in found} == {("20261121", "top")}


def test_views_of_a_result_without_a_part_s_id_are_of_one_part(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    write_archive(folder, [part(number, "pass", part_id=None) for number in (1, 2, 3)])
    second = frames_in(folder)[1].with_suffix(".json")
    said = json.loads(second.read_text())
    said["result"]["msg_id"] = "m-1"
    second.write_text(json.dumps(said))
    _, shown = archive_pictures(folder, None, None, all_good=True)
    assert [each.part for each in shown] == ["m-1", "m-1", "m-3"]


def test_an_archive_of_verdicts_alone_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive", [part(1, "pass"), part(2, "fail")])
    with pytest.raises(DataError, match="say so with --all-good"):
        archive_pictures(tmp_path / "archive", None, None, all_good=False)
    with pytest.raises(DataError, match="no such folder"):
        archive_pictures(tmp_path / "none", None, None, all_good=True)


def test_a_part_that_stays_before_the_camera_counts_once() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2))
    frames = [
        frame_now("top", place, pixels) for place, pixels in enumerate((one, one, other, one))
    ]
    assert [each.part for each in camera_pictures(frames, 5)] == ["part 0", "part 1"]
    assert len(list(camera_pictures(frames, 1))) == 1
