"""The camera's clock on the clock of this machine."""

from __future__ import annotations

import random

from edge.cameras.genicam.clock import DeviceClock

SECOND = 10**9
MS = 10**6


def test_delays_of_the_transfer_are_taken_out() -> None:
    chance, clock = random.Random(3), DeviceClock()
    errors = []
    for i in range(500):
        captured = 50 * SECOND + i * 40 * MS
        delay = MS + int(chance.expovariate(1 / (5 * MS)))
        errors.append(clock.host_ns(captured - 7 * SECOND, captured + delay) - captured)
    assert all(error >= MS for error in errors)
    assert max(errors[100:]) < 1.2 * MS


def test_a_clock_that_drifts_is_followed() -> None:
    for ppm in (-50, 50):
        clock = DeviceClock()
        for i in range(5000):
            captured = i * 40 * MS + SECOND
            got = clock.host_ns(int(captured * (1 + ppm / 1e6)), captured + MS)
            assert abs(got - captured) < 2 * MS


def test_the_capture_is_never_after_the_arrival() -> None:
    chance, clock = random.Random(1), DeviceClock()
    for i in range(1, 300):
        arrival = i * 10 * MS + chance.randrange(5 * MS)
        assert clock.host_ns(i * 10 * MS, arrival) <= arrival


def test_a_clock_that_goes_back_is_learned_anew() -> None:
    clock = DeviceClock()
    for i in range(10):
        clock.host_ns(1000 * SECOND + i * 40 * MS, SECOND + i * 40 * MS)
    assert clock.host_ns(5 * MS, 2 * SECOND) == 2 * SECOND
    assert clock.host_ns(45 * MS, 2 * SECOND + 60 * MS) == 2 * SECOND + 40 * MS


def test_a_clock_that_is_set_ahead_is_learned_anew() -> None:
    clock = DeviceClock()
    for i in range(1, 10):
        clock.host_ns(i * 40 * MS, SECOND + i * 40 * MS)
    assert clock.host_ns(5000 * SECOND, 2 * SECOND) == 2 * SECOND


def test_a_clock_that_stood_still_is_learned_anew_after_three_frames() -> None:
    clock = DeviceClock()
    for i in range(1, 10):
        clock.host_ns(i * 40 * MS, SECOND + i * 40 * MS)
    for i in range(10, 20):
        arrival = 60 * SECOND + i * 40 * MS
        assert clock.host_ns(i * 40 * MS, arrival) == arrival


def test_one_frame_that_comes_seconds_late_is_no_reset() -> None:
    clock = DeviceClock()
    for i in range(1, 10):
        clock.host_ns(i * 40 * MS, i * 40 * MS + MS)
    assert clock.host_ns(400 * MS, 5 * SECOND) == 5 * SECOND
    assert clock.host_ns(5 * SECOND, 5 * SECOND + 3 * MS) == 5 * SECOND + MS


def test_a_camera_without_a_clock_gives_the_arrival() -> None:
    clock = DeviceClock()
    assert [clock.host_ns(each, 5) for each in (None, 0, 0)] == [5, 5, 5]
