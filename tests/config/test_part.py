"""`part` in the station file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge.config.part import PartSettings
from edge.config.station import StationConfig


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"contrast": 20}, "contrast: for by: presence only"),
        ({"by": "presence", "product": "a.png"}, "product and product_mask together"),
        (
            {"by": "presence", "product": "a.png", "product_mask": "b.png", "belt": "c.png"},
            "one of belt and product",
        ),
        ({"by": "presence", "window": 0.5}, "less than or equal to 0.4"),
        ({"by": "presence", "length_px": 0}, "greater than 0"),
        ({"by": "presense"}, "'frame' or 'presence'"),
    ],
)
def test_a_wrong_key_is_refused(values: dict, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        PartSettings.model_validate(values)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"trigger": {"by": "interval", "period_s": 1}}, "part: presence needs trigger: free"),
        ({"camera": {"source": "test://belt", "buffer": "latest"}}, "latest would lose parts"),
    ],
)
def test_presence_goes_with_a_free_camera_that_loses_no_part(changes: dict, problem: str) -> None:
    values = {
        "node": "n",
        "station": "s",
        "bundle": "b",
        "camera": {"source": "test://belt"},
        "part": {"by": "presence"},
        **changes,
    }
    with pytest.raises(ValidationError, match=problem):
        StationConfig.model_validate(values)
