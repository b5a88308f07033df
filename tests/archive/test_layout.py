"""Names and order of the frames of an archive, and what is asked of it by time and verdict."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.archive.layout import (
    frame_folder,
    frame_stem,
    frames_between,
    moment_of,
    parse_moment,
    parse_verdicts,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def put(root: Path, at: datetime, frame_id: int, verdict: str) -> Path:
    path = frame_folder(root, at, verdict) / frame_stem(at, "top", frame_id, verdict)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".json"):
        path.with_name(path.name + suffix).touch()
    return path


def test_days_and_moments_are_utc(tmp_path: Path) -> None:
    late = datetime(2026, 5, 2, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    path = put(tmp_path, late, 3, "fail")
    assert (
        path.relative_to(tmp_path).as_posix()
        == "2026-05-01/fail/20260501T223000.000-top-000003-fail"
    )
    assert moment_of(path.name) == late


@pytest.mark.parametrize(
    "name", ["", "readme", "20261301T000000.000-top-000003-fail", "20260501T223000.000-top-3-fail"]
)
def test_other_names_have_no_moment(name: str) -> None:
    assert moment_of(name) is None


def test_frames_come_in_the_order_of_their_capture_whatever_their_verdict(tmp_path: Path) -> None:
    moments = [NOON + timedelta(hours=9 * n) for n in range(6)]
    verdicts = ["pass", "fail", "error", "undecided", "pass", "fail"]
    put_in = [put(tmp_path, at, n, v) for n, (at, v) in enumerate(zip(moments, verdicts))]
    assert list(frames_between(tmp_path)) == put_in
    assert list(frames_between(tmp_path, verdicts=("fail",))) == [put_in[1], put_in[5]]
    assert list(frames_between(tmp_path, since=moments[2])) == put_in[2:]
    assert list(frames_between(tmp_path, until=moments[2])) == put_in[:2]
    chosen = frames_between(tmp_path, since=moments[1], until=moments[5], verdicts=("pass",))
    assert list(chosen) == [put_in[4]]


def test_half_a_frame_is_listed_and_strangers_are_not(tmp_path: Path) -> None:
    path = put(tmp_path, NOON, 1, "fail")
    path.with_name(path.name + ".png").unlink()
    (path.parent / "notes.png").touch()
    (path.parent / "sub").mkdir()
    (tmp_path / "20260501T120000.000-top-000001-fail.webp").touch()
    (tmp_path / "2026-05-99x").mkdir()
    assert list(frames_between(tmp_path)) == [path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=timezone.utc)),
        ("2026-05-01T12:00", NOON),
        ("2026-05-01T12:00:00Z", NOON),
        ("2026-05-01T14:00:00+02:00", NOON),
    ],
)
def test_a_moment_is_a_day_or_a_time_of_a_day(text: str, expected: datetime) -> None:
    assert parse_moment(text) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-05-01T25:00", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="expected a day such as 2026-05-01 or a moment"):
        parse_moment(text)


def test_verdicts_have_commas_between_them() -> None:
    assert parse_verdicts("fail,undecided") == ("fail", "undecided")
    with pytest.raises(ValueError, match="expected some of pass, fail, undecided, error, got bad"):
        parse_verdicts("fail,bad")
