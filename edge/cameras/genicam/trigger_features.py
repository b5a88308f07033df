"""Features that make a camera wait for triggers and light a strobe while it exposes.

Each function returns features to be set with those of the station file.
"""

from __future__ import annotations

from typing import Literal

from edge.config.camera import FeatureValue

Activation = Literal[
    "RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"
]  # fmt: skip


def software_trigger(selector: str = "FrameStart") -> dict[str, FeatureValue]:
    """Return the features of a camera that exposes on the command TriggerSoftware."""
    return {"TriggerSelector": selector, "TriggerMode": "On", "TriggerSource": "Software"}


def hardware_trigger(
    line: str,
    activation: Activation = "RisingEdge",
    delay_us: float | None = None,
    selector: str = "FrameStart",
) -> dict[str, FeatureValue]:
    """Return the features of a camera that exposes when one of its input lines changes.

    Args:
        line: the input, such as Line1.
        activation: what the line must do.
        delay_us: from there to the exposure, microseconds; None leaves the camera's.
        selector: what is triggered.
    """
    features: dict[str, FeatureValue] = {
        "TriggerSelector": selector,
        "TriggerMode": "On",
        "TriggerSource": line,
        "TriggerActivation": activation,
    }
    if delay_us is not None:
        features["TriggerDelay"] = delay_us
    return features


def exposure_output(line: str, *, is_inverted: bool = False) -> dict[str, FeatureValue]:
    """Return the features of an output line that is active while the camera exposes."""
    features: dict[str, FeatureValue] = {
        "LineSelector": line,
        "LineMode": "Output",
        "LineSource": "ExposureActive",
    }
    return {**features, "LineInverter": True} if is_inverted else features
