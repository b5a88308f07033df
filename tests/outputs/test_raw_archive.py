"""Raw frames: which are kept, what lies beside them, and what a slow or full disk costs."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.archive.layout import frames_between
from edge.archive.record import read_frame
from edge.cameras.description import CameraDescription
from edge.errors import ConfigError
from edge.frame import Acquisition, EarlierResult
from edge.outputs import raw_archive
from edge.outputs.raw_archive import QUEUE_SIZE, encode_frame, is_in_share
from edge.picture_file import decode_picture
from edge.result import Reason
from tests.support.archives import Archive, names, part, record, station, write_archive
from tests.support.sinks import Gate
from tests.support.small_disk import small_file_system

GREY = np.repeat(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64, 1) % 251, 3, 2).astype(
    np.uint8
)
COLOUR = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_frame_comes_back_bit_for_bit(tmp_path: Path, pixels: np.ndarray) -> None:
    write_archive(tmp_path, [part(7, pixels=pixels.copy())])
    (path,) = frames_between(tmp_path)
    assert np.array_equal(read_frame(path).pixels_bgr(), pixels)


def test_a_grey_frame_takes_one_channel() -> None:
    decoded = cv2.imdecode(np.frombuffer(encode_frame(GREY), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (48, 64)
    tinted = GREY.copy()
    tinted[40, 50, 2] ^= 1
    assert np.array_equal(decode_picture(encode_frame(tinted)), tinted)


def test_the_record_says_what_was_judged_and_how(tmp_path: Path) -> None:
    config = station(tmp_path, camera=", features: {ExposureTime: 800}")
    camera = CameraDescription("aravis 0.8", serial="S-1", features={"ExposureTime": 799.5})
    archive = Archive(config, describe_camera=lambda _: camera)
    archive.sink.start()
    decided = part(7, label="scratch")
    acquisition = Acquisition(device_id="S-1", exposure_us=800.0, pixel_format="Mono8")
    payload = archive.judge(replace(decided, frame=replace(decided.frame, acquisition=acquisition)))
    assert archive.sink.stop(30)
    (path,) = frames_between(tmp_path)
    assert (
        path.relative_to(tmp_path).as_posix()
        == "2026-11-21/fail/20261121T101509.121-top-000007-fail"
    )
    found = record(path)
    assert found["schema"] == "edge-infer.raw_frame/1"
    assert found["result"] == json.loads(json.dumps(payload))
    assert found["result"]["seq"] == 1
    assert found["result"]["recipe"]["sha256"] == "cd" * 32
    assert found["settings"]["revision"] == config.revision
    assert found["camera"] == {
        "name": "top",
        "source": "file:///d",
        "features": {"ExposureTime": 800},
    }
    assert found["camera_says"]["features"] == {"ExposureTime": 799.5}
    assert found["acquisition"]["exposure_us"] == 800.0
    assert found["captured_at"] == "2026-11-21T10:15:09.121900+00:00"
    picture = path.with_name(path.name + ".png").read_bytes()
    assert found["picture"]["sha256"] == hashlib.sha256(picture).hexdigest()
    assert (found["picture"]["width"], found["picture"]["height"]) == (64, 48)


def test_no_user_name_of_a_camera_is_written(tmp_path: Path) -> None:
    config = station(tmp_path)
    camera = config.camera.model_copy(update={"source": "rtsp://inspector@10.0.0.5/stream"})
    archive = Archive(config.model_copy(update={"camera": camera}))
    archive.sink.start()
    archive.judge(part(1))
    assert archive.sink.stop(30)
    (path,) = frames_between(tmp_path)
    assert "inspector" not in json.dumps(record(path))


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    write_archive(tmp_path / "new", [part(1)])
    (path,) = frames_between(tmp_path / "new")
    for folder in (tmp_path / "new", path.parent.parent, path.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_classes_have_shares_of_their_own(tmp_path: Path) -> None:
    raw = "{fail: all, undecided: none, error: all, pass: 25 %, min_free_bytes: 0}"
    verdicts = ["pass", "fail", "undecided", "error"]
    write_archive(tmp_path, [part(n, verdicts[n % 4]) for n in range(80)], raw=raw)
    found = names(tmp_path)
    kept = {n for n in range(0, 80, 4) if is_in_share(f"p-{n}", 0.25)}
    assert 0 < len(kept) < 20
    for verdict, expected in (
        ("pass", kept), ("fail", set(range(1, 80, 4))), ("undecided", set()),
        ("error", set(range(3, 80, 4))),
    ):  # fmt: skip
        assert {int(n.rpartition("/")[2]) for n in found if f"/{verdict}/" in n} == expected


def test_a_share_is_met_and_a_larger_share_holds_the_smaller_one() -> None:
    keys = [f"part-{n}" for n in range(100_000)]
    one, ten = ({key for key in keys if is_in_share(key, share)} for share in (0.01, 0.1))
    assert 900 < len(one) < 1100
    assert one < ten
    assert all(is_in_share(key, 1.0) for key in keys)
    assert not any(is_in_share(key, 0.0) for key in keys)


def test_parts_without_an_id_are_chosen_by_their_number(tmp_path: Path) -> None:
    raw = "{pass: 25 %, min_free_bytes: 0}"
    write_archive(tmp_path, [part(n, "pass", part_id=None) for n in range(40)], raw=raw)
    expected = [n for n in range(40) if is_in_share(str(n + 1), 0.25)]  # seq begins at 1
    assert [int(name.rpartition("/")[2]) for name in names(tmp_path)] == expected
    assert 0 < len(expected) < 40


def test_a_pass_by_veto_counts_as_a_fail(tmp_path: Path) -> None:
    raw = "{pass: none, min_free_bytes: 0}"
    vetoed = part(1, "fail").inspection.regions
    parts = [part(1, "pass", regions=vetoed, reason=Reason.REGIONS_VETOED), part(2, "pass")]
    write_archive(tmp_path, parts, raw=raw)
    assert names(tmp_path) == ["2026-11-21/pass/1"]


def test_what_has_no_pixels_was_refused_or_is_a_replay_is_not_kept(tmp_path: Path) -> None:
    dark = part(1, "error", reason=Reason.CAMERA_ERROR)
    dark = replace(dark, frame=replace(dark.frame, pixels_bgr=None, fault="gone"))
    refused = part(2, "undecided", reason=Reason.OVERRUN)
    replayed = part(3)
    earlier = EarlierResult("x", "fail")
    replayed = replace(replayed, frame=replace(replayed.frame, earlier=earlier))
    archive = write_archive(tmp_path, [dark, refused, replayed])
    assert names(tmp_path) == []
    assert archive.drops.total == 0


def test_a_frame_whose_result_is_given_up_is_counted(tmp_path: Path) -> None:
    archive = Archive(station(tmp_path))
    archive.sink.start()
    archive.sink.decided(part(1))
    archive.sink.decided(part(2))
    archive.judge(part(3))
    archive.sink.decided(part(4))
    assert archive.sink.stop(30)
    assert names(tmp_path) == ["2026-11-21/fail/3"]
    assert archive.drops.snapshot() == {
        ("raw_archive", "unstored"): 2,
        ("raw_archive", "stopped"): 1,
    }


def test_a_slow_disk_costs_frames_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    write = raw_archive.write_bytes

    def slow(*arguments, **options):
        gate()
        write(*arguments, **options)

    monkeypatch.setattr(raw_archive, "write_bytes", slow)
    archive = Archive(station(tmp_path))
    archive.sink.start()
    archive.judge(part(0))
    assert gate.has_begun.wait(30)
    for number in range(1, QUEUE_SIZE // 2 + 2):
        archive.judge(part(number))  # returns although the disk is blocked
    assert not archive.sink.wait_for_room(0)
    # Those whose result is not stored yet take their place, too.
    late = [part(number) for number in range(QUEUE_SIZE // 2 + 2, QUEUE_SIZE + 4)]
    for decided in late:
        archive.sink.decided(decided)
    assert archive.drops.snapshot() == {("raw_archive", "overrun"): 3}
    for decided in late:
        archive.sink.committed(archive.numbered(decided))
    gate.opened.set()
    assert archive.sink.stop(30)
    assert archive.drops.total == 3
    assert len(names(tmp_path)) == QUEUE_SIZE + 1


def test_a_source_that_can_wait_loses_nothing_to_commits_in_batches(tmp_path: Path) -> None:
    archive = Archive(station(tmp_path))
    archive.sink.start()
    batch = []
    for number in range(200):
        while not archive.sink.wait_for_room(0):  # then the outbox commits what has gathered
            for payload in batch:
                archive.sink.committed(payload)
            batch.clear()
        decided = part(number)
        archive.sink.decided(decided)
        batch.append(archive.numbered(decided))
    for payload in batch:
        archive.sink.committed(payload)
    assert archive.sink.stop(60)
    assert archive.drops.total == 0
    assert len(names(tmp_path)) == 200


def test_an_outbox_that_has_hung_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(station(tmp_path))
    archive.sink.start()
    for number in range(QUEUE_SIZE):
        archive.sink.decided(part(number))
    assert not archive.sink.wait_for_room(0)
    monkeypatch.setattr(raw_archive, "HUNG_S", 0.0)
    assert archive.sink.wait_for_room(0)
    archive.sink.stop(30)


def test_a_full_disk_is_one_alert_and_the_archive_goes_on(small_disk: Path) -> None:
    """A file system of 1 MiB that somebody else has filled."""
    root = small_disk / "kept"
    archive = Archive(station(root))
    archive.sink.start()
    archive.judge(part(1))
    settle(archive)
    filling = small_disk / "others"
    with filling.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)) > 0:
            pass
    assert shutil.disk_usage(small_disk).free < 4096
    for number in range(2, 6):
        archive.judge(part(number, pixels=np.random.default_rng(number).integers(
            0, 256, (240, 320, 3), np.uint8)))  # fmt: skip
    settle(archive)
    assert archive.alerts() == [("archive_failing", "raised")]
    assert archive.drops.snapshot() == {("raw_archive", "disk"): 4}
    filling.unlink()
    archive.judge(part(6))
    settle(archive)
    assert archive.sink.stop(30)
    assert archive.alerts() == [("archive_failing", "cleared")]
    assert [read_frame(path).part.id for path in frames_between(root)] == ["p-1", "p-6"]
    assert not list(root.rglob("*.part"))


def test_nothing_is_written_below_the_least_free_space(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, [part(1), part(2)], raw="{min_free_bytes: 900000GB}")
    assert names(tmp_path) == []
    assert archive.alerts() == [("archive_failing", "raised")]
    assert archive.drops.snapshot() == {("raw_archive", "disk"): 2}


def test_the_oldest_go_beyond_the_size(tmp_path: Path) -> None:
    write_archive(tmp_path / "all", [part(1)])
    (one,) = frames_between(tmp_path / "all")
    size = sum(file.stat().st_size for file in one.parent.iterdir())
    raw = f"{{max_bytes: {size * 3 + size // 2}, min_free_bytes: 0}}"
    write_archive(tmp_path / "some", [part(n) for n in range(10)], raw=raw)
    assert names(tmp_path / "some") == [f"2026-11-21/fail/{n}" for n in (7, 8, 9)]
    # Also what an earlier run has left.
    write_archive(tmp_path / "some", [part(n) for n in range(10, 12)], raw=raw)
    assert names(tmp_path / "some") == [f"2026-11-21/fail/{n}" for n in (9, 10, 11)]


def test_the_old_go_by_their_age(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    days = [now - timedelta(days=age) for age in (40, 31, 29, 0)]
    parts = [part(n, at=at) for n, at in enumerate(days)]
    write_archive(tmp_path, parts, raw="{max_age_s: 365d, min_free_bytes: 0}")
    assert len(names(tmp_path)) == 4
    write_archive(tmp_path, [], raw="{max_age_s: 30d, min_free_bytes: 0}")
    assert [name.rpartition("/")[2] for name in names(tmp_path)] == ["2", "3"]
    assert len(list(tmp_path.iterdir())) == 2, "empty days are removed"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"archive\.path"):
        Archive(station(tmp_path / "file" / "x"))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 1 MiB, which only root can make."""
    yield from small_file_system("1m")


def settle(archive: Archive) -> None:
    """Wait until everything before has been written."""
    done = threading.Event()
    archive.sink.later(done.set)
    assert done.wait(30)
