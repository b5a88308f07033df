import time

import numpy as np
import pytest

from edge.grey_picture import as_bgr
from edge.station.capture.frozen_picture import MEMORY, MIN_REPEATS, FrozenWatch, RepeatWatch


def picture(value=0, spot=None, shape=(64, 64, 3)):
    pixels = np.zeros(shape, np.uint8) + np.uint8(value)
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
    seen = [watch.is_frozen(i > 0, int(i * interval_s * 1e9)) for i in range(count)]
    assert seen[-1] is expected


def test_a_new_picture_starts_the_count_again():
    watch = FrozenWatch(1.0)
    assert not any(watch.is_frozen(i % 20 > 0, i * 10**8) for i in range(200))


@pytest.mark.parametrize("shape", [(64, 64, 3), (37, 53, 3), (8, 8, 3), (1024, 1280, 3)])
def test_a_picture_is_a_repeat_only_of_itself(shape):
    watch = RepeatWatch()
    height, width, _ = shape
    places = [None, (0, 0), (height - 1, width - 1), (3, 5), (5, 3), (height // 2, width // 2)]
    pictures = [picture(9, spot, shape) for spot in places]
    assert [watch.is_repeat(pixels) for pixels in pictures] == [False] * len(pictures)
    assert [watch.is_repeat(pixels.copy()) for pixels in pictures] == [True] * len(pictures)


def test_every_pixel_of_a_grey_picture_counts():
    watch = RepeatWatch()
    first = np.zeros((1024, 1280), np.uint8)
    last = first.copy()
    last[-1, -1] = 1
    assert [watch.is_repeat(as_bgr(grey)) for grey in (first, last)] == [False, False]
    assert [watch.is_repeat(as_bgr(grey.copy())) for grey in (first, last)] == [True, True]


def test_another_size_is_another_picture():
    watch = RepeatWatch()
    shapes = [(32, 64, 3), (64, 32, 3), (32, 32, 3), (33, 33, 3)]
    assert not any(watch.is_repeat(picture(shape=shape)) for shape in shapes)


def test_a_part_of_a_larger_picture_counts_by_its_own_pixels():
    watch, large = RepeatWatch(), np.arange(64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
    assert not watch.is_repeat(large[8:40, 8:40])
    assert watch.is_repeat(large[8:40, 8:40].copy())


def test_pictures_that_come_back_are_remembered_and_others_forgotten():
    watch = RepeatWatch()

    def take(number):
        return watch.is_repeat(np.full((8, 8, 3), (number % 251, number // 251, 0), np.uint8))

    assert not take(0)
    for number in range(1, MEMORY):
        assert not take(number)
    assert take(0)
    assert not take(MEMORY)
    assert not take(1), "the oldest was forgotten"
    assert take(0), "what came back was not"


def test_a_frame_costs_little():
    watch = RepeatWatch()
    pixels = np.random.default_rng(0).integers(0, 255, (1024, 1280, 3), np.uint8)
    taken = []
    for _ in range(30):
        start = time.thread_time()
        watch.is_repeat(pixels)
        taken.append(time.thread_time() - start)
    # 0.1 ms; the limit leaves room for a slow machine, not for a checksum of every byte.
    assert min(taken) < 0.6e-3
