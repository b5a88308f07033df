"""A data set of archived frames, as edge-train and edge-eval read it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge.archive.layout import frames_between
from edge.data.archive_export import export_frames
from edge.data.image_set import read_image_set, read_pixels
from edge.errors import DataError
from edge.result import Reason
from tests.support.archives import part, write_archive
from tests.support.mqtt_results import SCRATCH


def archived(folder: Path, *parts) -> list[Path]:
    write_archive(folder, list(parts))
    return list(frames_between(folder))


def test_truth_decides_before_the_verdict_and_the_set_can_be_read(tmp_path: Path) -> None:
    frames = archived(
        tmp_path / "a",
        part(0, "pass"),
        part(1, "fail", label="good"),  # a false reject
        part(2, "pass", label="dent"),  # a miss
        part(3, "fail"),
        part(4, "undecided"),
        part(5, "undecided", label="good"),
        part(6, "error"),
    )
    done = export_frames(frames, tmp_path / "set")
    assert dict(done.counts) == {"train/good": 3, "test/dent": 1, "test/scratch": 1}
    assert (done.by_verdict, done.unlabelled, done.damaged) == (2, 2, [])
    found = read_image_set(tmp_path / "set")
    assert [int(sample.path.name.split("-")[2]) for sample in found.train] == [0, 1, 5]
    assert {(s.label, int(s.path.name.split("-")[2])) for s in found.test} == {
        ("dent", 2), ("scratch", 3),
    }  # fmt: skip
    assert np.array_equal(read_pixels(found.train[0].path), part(0).frame.pixels_bgr)


def test_a_harmless_defect_that_passed_is_no_good_part(tmp_path: Path) -> None:
    dusty = part(1, "pass", reason=Reason.WITHIN_TYPE_THRESHOLD, regions=(SCRATCH,))
    done = export_frames(archived(tmp_path / "a", part(0, "pass"), dusty), tmp_path / "set")
    assert dict(done.counts) == {"train/good": 1, "test/scratch": 1}


def test_pictures_of_one_part_are_a_group(tmp_path: Path) -> None:
    parts = [part(n, "pass", part_id=f'tray "{n % 2}", top') for n in range(4)]
    export_frames(archived(tmp_path / "a", *parts, part(4, "pass", part_id=None)), tmp_path / "set")
    found = read_image_set(tmp_path / "set")
    assert found.has_groups
    groups = [sample.group for sample in found.train]
    assert groups[0] == groups[2] != groups[1] == groups[3]
    assert len(set(groups)) == 3


def test_no_label_leads_out_of_the_set_or_means_something_else(tmp_path: Path) -> None:
    labels = ["../../etc", ".hidden", "Good", "masks", "Scratch", "scratch", "a/b", "\x1b[31m", ""]
    parts = [part(n, "fail", label=label) for n, label in enumerate(labels)]
    done = export_frames(archived(tmp_path / "a", *parts), tmp_path / "set")
    assert dict(done.counts) == {
        "test/etc": 1, "test/hidden": 1, "train/good": 1, "test/type_masks": 1, "test/Scratch": 2,
        "test/a_b": 1, "test/31m": 1, "test/unknown": 1,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "set"]
    assert len(read_image_set(tmp_path / "set").test) == 8


def test_damaged_frames_are_left_out_one_by_one(tmp_path: Path) -> None:
    frames = archived(tmp_path / "a", *(part(n, "pass") for n in range(4)))
    frames[0].with_name(frames[0].name + ".json").write_text("{")
    frames[1].with_name(frames[1].name + ".png").unlink()
    done = export_frames(frames, tmp_path / "set")
    assert sum(done.counts.values()) == 2
    assert len(done.damaged) == 2
    assert not any("\n" in line for line in done.damaged)


def test_links_share_the_disk_and_copies_do_not(tmp_path: Path) -> None:
    frames = archived(tmp_path / "a", part(0, "pass"))
    picture = frames[0].with_name(frames[0].name + ".png")
    export_frames(frames, tmp_path / "copied")
    export_frames(frames, tmp_path / "linked", link=True)
    (copied,) = (tmp_path / "copied" / "train" / "good").iterdir()
    (linked,) = (tmp_path / "linked" / "train" / "good").iterdir()
    assert not os.path.samefile(copied, picture)
    assert os.path.samefile(linked, picture)


def test_the_set_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = archived(tmp_path / "a", *(part(n, "pass") for n in range(3)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(DataError, match="expected a new or an empty folder"):
        export_frames(frames, tmp_path / "full")
    with pytest.raises(DataError, match="nothing to export"):
        export_frames([], tmp_path / "set")

    def interrupted():
        yield frames[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_frames(interrupted(), tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "full"]
    (tmp_path / "set").mkdir()
    assert export_frames(frames, tmp_path / "set").counts == {"train/good": 3}


def test_a_fail_without_regions_has_an_unknown_defect(tmp_path: Path) -> None:
    frames = archived(tmp_path / "a", part(0, "fail", regions=()))
    assert export_frames(frames, tmp_path / "set").counts == {"test/unknown": 1}
