"""Presets of INP-Former: sizes and taps."""

from __future__ import annotations

import torch

from edge.methods.inp_former.planning import build
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.presets import (
    PRESETS,
    candidate_sizes,
    find_preset,
    model_settings,
    network_size,
    tap_blocks,
)
from edge.networks.weights import RANDOM


def test_network_size_keeps_area_and_aspect() -> None:
    assert network_size((256, 256), 256, 32) == (256, 256)
    assert network_size((1280, 1024), 256, 32) == (288, 224)
    assert network_size((576, 768), 320, 32) == (288, 384)
    assert network_size((100, 2000), 256, 32) == (64, 1152)


def test_candidates_do_not_enlarge_much() -> None:
    lite = find_preset("lite")
    assert candidate_sizes(lite, (200, 200)) == ((256, 256),)
    assert len(candidate_sizes(lite, (2000, 1500))) == len(lite.sides)
    assert candidate_sizes(lite, (264, 327)) == ((224, 288), (288, 352))


def test_lite2_is_lite_on_a_larger_backbone() -> None:
    lite, lite2 = (model_settings(find_preset(n), (96, 64), RANDOM) for n in ("lite", "lite2"))
    backbone = lite.backbone.model_copy(update={"name": "efficientnet_lite2"})
    assert lite2 == lite.model_copy(update={"backbone": backbone})
    detector = build(ModelSettings.model_validate(lite2.model_dump()), RANDOM, 0)
    assert detector.features.channels == (48, 120, 208, 352)
    with torch.no_grad():
        found = detector(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    assert found.map.shape == (1, 32, 48)


def test_taps_are_the_published_ones() -> None:
    assert tap_blocks(12) == (2, 3, 4, 5, 6, 7, 8, 9)
    assert tap_blocks(24) == (4, 6, 8, 10, 12, 14, 16, 18)
    assert PRESETS["standard"].vit == (384, 12, 6)
    assert PRESETS["accurate"].vit == (768, 12, 12)
    assert PRESETS["large"].vit == (1024, 24, 16)
