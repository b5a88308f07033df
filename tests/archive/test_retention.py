"""What leaves an archive, and what in its folders is not ours to delete."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge.archive.layout import frame_folder, frame_stem
from edge.archive.retention import Retention

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def put(root: Path, at: datetime, verdict: str = "fail", size: int = 90) -> Path:
    """A frame of `size` bytes with a record of 10."""
    path = frame_folder(root, at, verdict) / frame_stem(at, "top", 1, verdict)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".png").write_bytes(bytes(size))
    path.with_name(path.name + ".json").write_bytes(bytes(10))
    return path


def left(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def counted(root: Path, max_bytes: int, max_age_s: float = 1e9) -> Retention:
    retention = Retention(root, max_bytes, max_age_s)
    retention.count()
    return retention


def test_the_oldest_go_over_days_and_verdicts(tmp_path: Path) -> None:
    verdicts = ("fail", "pass", "error", "undecided")
    frames = [put(tmp_path, NOON + n * 7 * HOUR, verdicts[n % 4]) for n in range(8)]
    counted(tmp_path, 300).prune(NOON)
    assert {name.rpartition(".")[0] for name in left(tmp_path)} == {f.name for f in frames[5:]}
    assert not (tmp_path / "2026-05-01").exists()


def test_the_newest_stays_however_large(tmp_path: Path) -> None:
    retention = counted(tmp_path, 300)
    put(tmp_path, NOON)
    newest = put(tmp_path, NOON + HOUR, size=5000)
    retention.added(5110)
    retention.prune(NOON, newest)
    assert left(tmp_path) == [f"{newest.name}.json", f"{newest.name}.png"]


def test_what_is_not_of_the_archive_stays(tmp_path: Path) -> None:
    path = put(tmp_path, NOON)
    (tmp_path / "a.webp").write_bytes(bytes(5000))
    (path.parent / "notes.txt").write_bytes(bytes(5000))
    counted(tmp_path, 100).prune(NOON)
    assert len(left(tmp_path)) == 4
    counted(tmp_path, 99).prune(NOON)
    assert left(tmp_path) == ["a.webp", "notes.txt"]


def test_half_written_files_of_an_interrupted_run_go(tmp_path: Path) -> None:
    path = put(tmp_path, NOON)
    (path.parent / f"{path.name}.png.0a1b2c3d.part").write_bytes(bytes(50))
    counted(tmp_path, 1000)
    assert left(tmp_path) == [f"{path.name}.json", f"{path.name}.png"]


def test_frames_that_somebody_else_has_deleted_are_no_trouble(tmp_path: Path) -> None:
    frames = [put(tmp_path, NOON + n * HOUR) for n in range(4)]
    retention = counted(tmp_path, 400)
    retention.prune(NOON)
    for suffix in (".png", ".json"):
        frames[0].with_name(frames[0].name + suffix).unlink()
    put(tmp_path, NOON + 9 * HOUR)
    retention.added(100)
    retention.prune(NOON)
    assert len(left(tmp_path)) == 6


def test_age_is_that_of_the_capture(tmp_path: Path) -> None:
    frames = [put(tmp_path, NOON + n * HOUR) for n in range(4)]
    retention = counted(tmp_path, 10**9, max_age_s=3600)
    retention.prune(NOON + 3 * HOUR)
    assert left(tmp_path)[0].startswith(frames[2].name)
    assert len(left(tmp_path)) == 4
