"""Features of a camera, checked against its own ranges, set in a fixed order and read back.

Names follow the standard feature naming convention (SFNC) of GenICam. A driver gives access to one
feature at a time; everything else is the same for all drivers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from edge.cameras.query import nearest
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable

_log = logging.getLogger(__name__)

Kind = Literal["integer", "float", "boolean", "enumeration", "string", "command"]

# What is not named here follows, in the order of the station file. A feature stands behind those
# that decide its range: binning before size, size before offset, modes before values.
ORDER = (
    "UserSetSelector", "UserSetLoad", "DeviceLinkThroughputLimitMode", "DeviceLinkThroughputLimit",
    "BinningSelector", "BinningHorizontalMode", "BinningHorizontal", "BinningVerticalMode",
    "BinningVertical", "DecimationHorizontal", "DecimationVertical", "PixelFormat", "Width",
    "Height", "OffsetX", "OffsetY", "ReverseX", "ReverseY", "AcquisitionMode",
    "LineSelector", "LineMode", "LineInverter", "LineDebouncerTime", "LineSource", "StrobeEnable",
    "EncoderSelector", "EncoderSourceA", "EncoderSourceB", "EncoderMode", "EncoderOutputMode",
    "EncoderDivider", "TriggerSelector", "TriggerMode", "TriggerSource", "TriggerActivation",
    "TriggerDivider",
    "TriggerDelay", "SensorShutterMode", "ExposureMode", "ExposureAuto", "ExposureTime",
    "ExposureTimeAbs", "AcquisitionFrameRateEnable", "AcquisitionFrameRate", "GainAuto",
    "GainSelector", "Gain", "GainRaw", "BlackLevelSelector", "BlackLevel", "BalanceWhiteAuto",
    "BalanceRatioSelector", "BalanceRatio", "GammaEnable", "Gamma", "ChunkModeActive",
    "ChunkSelector", "ChunkEnable",
)  # fmt: skip
# Set unless the station file says otherwise, where the camera has them: what an earlier program
# left in the camera must not decide whether pictures come.
DEFAULTS: Mapping[str, FeatureValue] = {"AcquisitionMode": "Continuous", "TriggerMode": "Off"}
# Reported beside what was set, where the camera has them.
REPORTED = (
    "PixelFormat", "Width", "Height", "OffsetX", "OffsetY", "ExposureAuto", "ExposureTime",
    "GainAuto", "Gain", "TriggerMode", "TriggerSource",
)  # fmt: skip
# What locks a feature when it cannot be written.
_LOCKS = {
    "ExposureTime": "ExposureAuto: Off",
    "Gain": "GainAuto: Off",
    "BalanceRatio": "BalanceWhiteAuto: Off",
    "AcquisitionFrameRate": "AcquisitionFrameRateEnable: true",
    "TriggerSource": "TriggerMode: On",
}
_FRAME_START = "FrameStart"
# Cameras round to what their clocks can do, such as an exposure to whole lines.
_ROUNDING = 0.01
_SHOWN = {
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "string": "text",
    "command": "true",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """What a camera says of one of its features, now.

    Attributes:
        kind: type of the value; a command has none and is executed.
        is_writable: it can be set at present.
        minimum, maximum: range of a number, both inclusive.
        increment: distance between allowed numbers from `minimum` on; None for any number.
        entries: words that an enumeration takes at present.
    """

    kind: Kind
    is_writable: bool = True
    minimum: float = -math.inf
    maximum: float = math.inf
    increment: float | None = None
    entries: tuple[str, ...] = ()


class FeatureAccess(Protocol):
    """The features of an open camera. Any call may raise CameraError when the camera is lost."""

    def find(self, name: str) -> Feature | None:
        """Describe a feature; None when the camera does not have it, or not in its present mode."""

    def names(self) -> Sequence[str]:
        """Return the names of all features."""

    def read(self, name: str) -> FeatureValue:
        """Return the value of a feature."""

    def write(self, name: str, value: FeatureValue) -> None:
        """Set a feature to a value of its kind, or execute a command."""


def apply(
    access: FeatureAccess, wanted: Mapping[str, FeatureValue], *, camera: str
) -> dict[str, FeatureValue]:
    """Set `wanted` and what DEFAULTS names; return what the camera then has, as `report` does.

    Args:
        access: the camera's features.
        wanted: name -> value, from the station file.
        camera: its name, for messages.

    Raises:
        CameraUnavailable: a feature is unknown, locked or out of range, or the camera kept another
            value; one line that names the nearest allowed value.
    """
    _disarm(access)
    for name, value in DEFAULTS.items():
        if name not in wanted:
            _default(access, name, value)
    for name in sorted(wanted, key=_rank):
        _set(access, name, wanted[name], f"{camera}: camera.features.{name}")
    return report(access, wanted)


def _default(access: FeatureAccess, name: str, value: FeatureValue) -> None:
    """Set a feature if the camera lets it be set to this word."""
    feature = access.find(name)
    if feature is not None and feature.is_writable and value in feature.entries:
        access.write(name, value)


def _disarm(access: FeatureAccess) -> None:
    """Take every trigger out of the camera; ends with the trigger of a frame selected."""
    selector = access.find("TriggerSelector")
    if selector is None or not selector.is_writable:
        return
    for entry in sorted(selector.entries, key=_FRAME_START.__eq__):
        access.write("TriggerSelector", entry)
        _default(access, "TriggerMode", "Off")


def report(
    access: FeatureAccess, names: Sequence[str] | Mapping[str, object]
) -> dict[str, FeatureValue]:
    """Return the values of `names` and of REPORTED as the camera has them, in a fixed order."""
    found: dict[str, FeatureValue] = {}
    for name in sorted({*REPORTED, *names}, key=_rank_and_name):
        feature = access.find(name)
        if feature is not None and feature.kind != "command":
            found[name] = access.read(name)
    return found


def _rank(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _rank_and_name(name: str) -> tuple[int, str]:
    return _rank(name), name


def _set(access: FeatureAccess, name: str, value: FeatureValue, where: str) -> None:
    feature = access.find(name)
    if feature is None:
        raise CameraUnavailable(f"{where}: the camera has no such feature{_alike(access, name)}")
    allowed = _checked(feature, value, where)
    if feature.kind == "command":
        access.write(name, allowed)
        return
    if not feature.is_writable:
        if _is_kept(feature, allowed, access.read(name)):
            return
        lock = f"; set {_LOCKS[name]} as well" if name in _LOCKS else ""
        raise CameraUnavailable(f"{where}: the camera does not let it be set at present{lock}")
    access.write(name, allowed)
    got = access.read(name)
    if not _is_kept(feature, allowed, got):
        raise CameraUnavailable(
            f"{where}: expected the camera to take {_shown(allowed)}, it has {_shown(got)}; write "
            f"that value, or free the feature that decides it"
        )
    if got != allowed:
        _log.warning("feature rounded feature=%s wanted=%s got=%s", name, allowed, got)


def _alike(access: FeatureAccess, name: str) -> str:
    names = access.names()
    guess = nearest(name, names)
    # All names of a camera are hundreds: only a near one helps.
    return guess if "did you mean" in guess else f"; it has {len(names)} others"


def _checked(feature: Feature, value: FeatureValue, where: str) -> FeatureValue:
    """Return `value` as the kind of the feature, or refuse it."""
    if feature.kind == "enumeration":
        return _checked_word(feature, value, where)
    if feature.kind in {"integer", "float"}:
        return _checked_number(feature, value, where)
    expected = {"boolean": bool, "string": str, "command": bool}[feature.kind]
    if not isinstance(value, expected) or (feature.kind == "command" and value is not True):
        raise CameraUnavailable(f"{where}: expected {_SHOWN[feature.kind]}, got {_shown(value)}")
    return value


def _checked_word(feature: Feature, value: FeatureValue, where: str) -> str:
    # YAML reads the bare words On and Off as booleans.
    word = {True: "On", False: "Off"}[value] if isinstance(value, bool) else str(value)
    if word not in feature.entries:
        raise CameraUnavailable(
            f"{where}: expected one of {', '.join(feature.entries)}, got {_shown(value)}"
            f"{_guess(word, feature.entries)}"
        )
    return word


def _guess(word: str, entries: Sequence[str]) -> str:
    guess = nearest(word, entries)
    return guess if "did you mean" in guess else ""


def _checked_number(feature: Feature, value: FeatureValue, where: str) -> int | float:
    is_whole = feature.kind == "integer"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, str) or not is_number or (is_whole and value != int(value)):
        raise CameraUnavailable(f"{where}: expected {_SHOWN[feature.kind]}, got {_shown(value)}")
    number = int(value) if is_whole else value
    near = _nearest_number(feature, number)
    if number < feature.minimum or number > feature.maximum or not _is_same(feature, number, near):
        raise CameraUnavailable(
            f"{where}: expected {_range(feature)}, got {_shown(number)}; the nearest allowed value "
            f"is {_shown(near)}"
        )
    return number if is_whole else float(number)


def _nearest_number(feature: Feature, number: float) -> float:
    inside = min(max(number, feature.minimum), feature.maximum)
    if feature.increment and math.isfinite(feature.minimum):
        steps = round((inside - feature.minimum) / feature.increment)
        highest = math.floor((feature.maximum - feature.minimum) / feature.increment + 1e-9)
        inside = feature.minimum + min(steps, highest) * feature.increment
    return int(inside) if feature.kind == "integer" else float(inside)


def _is_same(feature: Feature, number: float, near: float) -> bool:
    if feature.kind == "integer":
        return number == near
    return math.isclose(number, near, rel_tol=1e-6, abs_tol=1e-3 * (feature.increment or 0.0))


def _range(feature: Feature) -> str:
    text = f"{_shown(feature.minimum)} to {_shown(feature.maximum)}"
    has_steps = feature.increment and not (feature.kind == "integer" and feature.increment == 1)
    return f"{text} in steps of {_shown(feature.increment or 0)}" if has_steps else text


def _is_kept(feature: Feature, wanted: FeatureValue, got: FeatureValue) -> bool:
    if feature.kind != "float" or isinstance(wanted, str) or isinstance(got, str):
        return got == wanted
    return abs(got - wanted) <= max(_ROUNDING * abs(wanted), feature.increment or 0.0)


def _shown(value: FeatureValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
