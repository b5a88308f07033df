"""Sizes, durations and names as they are written in a station file."""

from __future__ import annotations

import pytest

from edge.config.values import parse_bytes, parse_name, parse_seconds, parse_share


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 * 2**20), ("2 GB", 2 * 10**9), ("1.5kib", 1536), ("700", 700), (700, 700)],
)
def test_a_size_has_a_unit_or_is_in_bytes(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "5 parsecs", "-1", "1e3", None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 512MiB or 2GB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 604800), ("12h", 43200), ("30 min", 1800), ("1.5s", 1.5), (90, 90)],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: object, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "7 weeks", "-1", "5S"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 7d, 12h, 30min or 90s"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("all", 1.0), ("none", 0.0), ("1 %", 0.01), ("0.5%", 0.005), ("100 %", 1.0), ("0%", 0.0)],
)
def test_a_share_is_a_word_or_has_a_percent_sign(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "1", 1, 0.5, "101 %", "-1 %", "some", None, True])
def test_what_is_no_share(text: object) -> None:
    """A bare number may mean percent or a fraction."""
    with pytest.raises(ValueError, match="expected all, none or a share from 0 % to 100 %"):
        parse_share(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", "ä", "+", "a.b"])
def test_a_name_may_stand_in_a_topic_and_in_a_file_name(text: str) -> None:
    assert parse_name("box-1_A") == "box-1_A"
    with pytest.raises(ValueError, match="letters, digits, _ and - only"):
        parse_name(text)
