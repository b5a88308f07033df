"""Pauses between attempts to reach a lost camera."""

from __future__ import annotations

import pytest

from edge.station.capture.back_off import BackOff


def test_pauses_double_up_to_the_limit() -> None:
    back_off = BackOff(0.5, 3.0, chance=lambda: 0.0)
    assert [back_off.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_reset_begins_with_the_first_pause_again() -> None:
    back_off = BackOff(0.5, 3.0, chance=lambda: 0.0)
    for _ in range(3):
        back_off.next_s()
    back_off.reset()
    assert [back_off.next_s() for _ in range(2)] == [0.5, 1.0]


def test_pauses_are_shortened_by_up_to_a_fifth() -> None:
    chances = iter([0.0, 0.5, 1.0])
    back_off = BackOff(10.0, 10.0, chance=lambda: next(chances))
    assert [back_off.next_s() for _ in range(3)] == pytest.approx([10.0, 9.0, 8.0])


def test_pauses_differ_from_station_to_station() -> None:
    assert len({BackOff(10.0, 10.0).next_s() for _ in range(10)}) > 1
