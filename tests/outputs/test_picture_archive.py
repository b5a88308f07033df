"""Pictures of parts: which are kept, what a slow or full disk costs, and how many bytes stay."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config.archive import ArchiveSettings
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.outputs import picture_archive
from edge.outputs.picture_archive import QUEUE_SIZE, PictureArchive
from edge.outputs.sink import Decided
from edge.result import Reason, Verdict
from tests.support.sinks import Gate, make_decided


def passing(part_id: str = "p-1") -> Decided:
    reason = Reason.SCORE_BELOW_THRESHOLD
    return make_decided(part_id, verdict=Verdict.PASS, reason=reason, regions=())


def written(folder: Path, decided: Decided, drops: DropCounts | None = None, **settings) -> int:
    """Archive one part and return how many pictures there are."""
    archive = PictureArchive(ArchiveSettings(path=folder, **settings), drops or DropCounts())
    archive.start()
    archive.decided(decided)
    assert archive.stop(30)
    return len(list(folder.glob("*.webp")))


def test_rejects_are_kept_and_passes_only_on_request(tmp_path: Path) -> None:
    assert written(tmp_path / "a", make_decided()) == 1
    assert written(tmp_path / "b", passing()) == 0
    assert written(tmp_path / "c", passing(), keep="all") == 1


def test_a_part_that_was_refused_is_not_drawn(tmp_path: Path) -> None:
    """Its picture would take time from a line that is too slow already."""
    refused = make_decided(verdict=Verdict.UNDECIDED, reason=Reason.OVERRUN, regions=())
    assert written(tmp_path, refused, keep="all") == 0


def test_the_map_is_the_one_of_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine writes the next part's map into the same memory."""
    drawn = []

    def draw(pixels, anomaly_map, _inspection):
        drawn.append(anomaly_map.copy())
        return np.array(pixels)

    monkeypatch.setattr(picture_archive, "draw_overlay", draw)
    archive = PictureArchive(ArchiveSettings(path=tmp_path), DropCounts())
    decided = make_decided()
    archive.decided(decided)
    assert decided.anomaly_map is not None
    decided.anomaly_map[:] = 9.0
    archive.start()
    assert archive.stop(30)
    assert (drawn[0] == np.float32(0.25)).all()


def test_a_slow_disk_costs_pictures_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, drops = Gate(), DropCounts()

    def draw(pixels, *_):
        gate()
        return np.array(pixels)

    monkeypatch.setattr(picture_archive, "draw_overlay", draw)
    archive = PictureArchive(ArchiveSettings(path=tmp_path), drops)
    archive.start()
    archive.decided(make_decided())
    assert gate.has_begun.wait(30)
    for _ in range(QUEUE_SIZE + 3):
        archive.decided(make_decided())  # returns although the disk is blocked
    assert drops.snapshot() == {("archive", "overrun"): 3}
    gate.opened.set()
    assert archive.stop(30)


def test_a_full_disk_is_counted_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drops = DropCounts()
    archive = PictureArchive(ArchiveSettings(path=tmp_path), drops)

    def refuse(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    archive.start()
    for _ in range(3):
        archive.decided(make_decided())
    assert archive.stop(30)
    assert drops.snapshot() == {("archive", "disk"): 3}
    (line,) = caplog.messages
    assert "No space left" in line


def test_the_oldest_pictures_go(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"2000010{number}T000000.000-top-000000-fail.webp").write_bytes(bytes(40_000))
    assert written(tmp_path, make_decided(), max_bytes=60_000) == 2
    old, new = sorted(tmp_path.glob("*.webp"))
    assert old.name.startswith("20000102")
    assert cv2.imread(str(new)) is not None


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"archive\.path"):
        PictureArchive(ArchiveSettings(path=tmp_path / "file" / "x"), DropCounts())
