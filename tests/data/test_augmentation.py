"""Good parts of another shift: each change does what its name says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edge.data.augmentation import OTHER_SHIFT, changed_view, exposed, moved
from edge.geometry.view_transform import View


def test_exposure_scales_all_channels_and_clips() -> None:
    image = np.full((2, 2, 3), (100, 200, 250), np.uint8)
    assert OTHER_SHIFT["brighter"](image)[0, 0].tolist() == [115, 230, 255]
    assert OTHER_SHIFT["darker"](image)[0, 0].tolist() == [85, 170, 212]


def test_a_warmer_lamp_has_less_blue_and_more_red() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    assert OTHER_SHIFT["warmer"](image)[1, 1].tolist() == [94, 100, 106]
    assert OTHER_SHIFT["cooler"](image)[1, 1].tolist() == [106, 100, 94]
    assert exposed(image, 0.5, 1, 2)[0, 0].tolist() == [50, 100, 200]


def test_a_part_moves_to_the_right_and_down() -> None:
    image = np.zeros((32, 40, 3), np.uint8)
    image[10, 12] = 255
    places = np.argwhere(OTHER_SHIFT["moved"](image)[..., 0] == 255)
    assert places.tolist() == [[15, 17]]


def test_a_part_turns_around_the_centre() -> None:
    image = np.zeros((201, 201, 3), np.uint8)
    image[98:103, 98:103] = 255
    image[98:103, 188:193] = 255  # 90 pixels to the right of the centre
    turned = OTHER_SHIFT["turned"](image)[..., 0].astype(float)
    assert turned[100, 100] == 255
    # 2 degrees counter-clockwise: up by 90 * sin(2 degrees) = 3.1 pixels.
    right = turned[:, 180:]
    rows = np.arange(201)[:, None]
    assert (right * rows).sum() / right.sum() == pytest.approx(100 - 3.14, abs=0.05)


def test_what_comes_in_from_outside_is_mirrored() -> None:
    image = np.repeat(np.arange(10, dtype=np.uint8)[None, :, None], 4, 0).repeat(3, 2)
    assert moved(image, 2, 0, 0)[0, :4, 0].tolist() == [1, 0, 0, 1]


def test_hidden_pixels_stay_hidden_and_bring_nothing_in() -> None:
    shown = np.full((20, 20, 3), 100, np.uint8)
    seen = np.ones((20, 20), np.bool_)
    seen[:, 12:] = False
    hidden = shown.copy()
    hidden[~seen] = 7
    view = View(hidden, seen, (), shown)
    brighter = changed_view(view, OTHER_SHIFT["brighter"])
    assert (brighter[seen] == 115).all()
    assert (brighter[~seen] == 7).all()
    turned = changed_view(view, OTHER_SHIFT["turned"])
    assert (turned[seen] == 100).all(), "the colour of hidden pixels was moved"
    assert (shown == 100).all()
