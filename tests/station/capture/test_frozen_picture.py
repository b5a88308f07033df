import numpy as np
import pytest

from edge.station.capture.frozen_picture import MIN_REPEATS, FrozenWatch


def picture(value=0, spot=None):
    pixels = np.zeros((64, 64, 3), np.uint8) + np.uint8(value)
    if spot:
        pixels[spot] = 255
    return pixels


@pytest.mark.parametrize(
    ("count", "interval_s", "expected"),
    [
        (MIN_REPEATS + 1, 0.1, True),
        (MIN_REPEATS, 0.1, False),
        (200, 0.004, False),
        (400, 0.004, True),
        (5, 10.0, False),
    ],
)
def test_frozen_needs_enough_repeats_over_enough_time(count, interval_s, expected):
    watch = FrozenWatch(1.0)
    seen = [watch.is_frozen(picture(), int(i * interval_s * 1e9)) for i in range(count)]
    assert seen[-1] is expected


def test_one_different_pixel_off_the_grid_starts_the_count_again():
    watch = FrozenWatch(1.0)
    seen = [
        watch.is_frozen(picture(spot=(7, 7)) if i % 20 == 19 else picture(), i * 10**8)
        for i in range(200)
    ]
    assert not any(seen)


def test_another_size_is_another_picture():
    watch = FrozenWatch(0.0)
    for i in range(60):
        side = 32 + i % 2
        assert not watch.is_frozen(np.zeros((side, side, 3), np.uint8), i)
