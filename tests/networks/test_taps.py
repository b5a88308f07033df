"""Every backbone refuses taps that are none of its own."""

from __future__ import annotations

import pytest

from edge.networks.backbones.efficientnet_lite import VARIANTS
from edge.networks.backbones.taps import check_taps


@pytest.mark.parametrize("taps", [(0,), (6,), (2, 4, 5)])
def test_ascending_ones_within_the_network_are_taken(taps: tuple[int, ...]) -> None:
    check_taps(taps, len(VARIANTS["efficientnet_lite0"]))


@pytest.mark.parametrize("taps", [(), (-1, 2), (2, 2), (4, 2), (2, 7)])
def test_others_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected ascending indices in 0\.\.6, got"):
        check_taps(taps, 7)
