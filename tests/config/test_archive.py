"""The keys of the archive in a station file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.archive import ArchiveSettings
from edge.config.reader import parse_settings
from edge.errors import ConfigError


def read(text: str) -> ArchiveSettings:
    return parse_settings(text, "a.yaml", ArchiveSettings, {"folder": Path("/station")})


def test_raw_frames_are_kept_by_class() -> None:
    raw = read("path: kept\nraw: {fail: all, undecided: 50 %, error: none, pass: 1 %}\n").raw
    assert raw is not None
    shares = [raw.share_of(verdict) for verdict in ("fail", "undecided", "error", "pass")]
    assert shares == [1.0, 0.5, 0.0, 0.01]


def test_without_raw_there_are_no_raw_frames_and_an_empty_raw_has_defaults() -> None:
    assert read("path: kept\n").raw is None
    raw = read("path: kept\nraw: {}\n").raw
    assert raw is not None
    shares = [raw.share_of(verdict) for verdict in ("fail", "undecided", "error", "pass")]
    assert shares == [1.0, 1.0, 1.0, 0.01]
    assert raw.max_bytes == 20 * 2**30


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("passes: 1 %", "a.yaml:2: raw.passes: unknown key; did you mean pass?"),
        ("pass: 1", "a.yaml:2: raw.pass: expected all, none or a share from 0 % to 100 %"),
        ("max_age_s: 1s", "a.yaml:2: raw.max_age_s:"),
    ],
)
def test_a_wrong_key_is_one_line(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"path: kept\nraw: {{{line}}}\n")
    (problem,) = caught.value.problems
    assert problem.startswith(message)
