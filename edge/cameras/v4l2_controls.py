"""Controls of a V4L2 camera as features: checked against their ranges, set and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.cameras.genicam import features
from edge.cameras.genicam.features import Feature, Kind
from edge.cameras.v4l2_device import Control, V4l2Device
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable


@dataclass(frozen=True, slots=True)
class _Named:
    """A control by its number, and the automatic that a value of it turns off."""

    id: int
    automatic: str | None = None
    off: int = 0


# Drivers spell their names in several ways; the numbers are the kernel's (linux/v4l2-controls.h).
NAMED: Mapping[str, _Named] = {
    "exposure_auto": _Named(0x009A0901),
    "gain_auto": _Named(0x00980912),
    "white_balance_auto": _Named(0x0098090C),
    "focus_auto": _Named(0x009A090C),
    # 1 is "manual mode" of a menu.
    "exposure": _Named(0x009A0902, "exposure_auto", 1),
    "gain": _Named(0x00980913, "gain_auto"),
    "white_balance": _Named(0x0098091A, "white_balance_auto"),
    "focus": _Named(0x009A090A, "focus_auto"),
}
_KINDS: Mapping[str, Kind] = {
    "integer": "integer",
    "boolean": "boolean",
    "menu": "enumeration",
    "integer menu": "enumeration",
    "button": "command",
}


def apply(
    device: V4l2Device, wanted: Mapping[str, FeatureValue], camera: str
) -> dict[str, FeatureValue]:
    """Set controls; return what the camera then has.

    Args:
        device: the open camera.
        wanted: name -> value; names of NAMED, or as v4l2-ctl lists them.
        camera: its name, for messages.

    Raises:
        CameraUnavailable: a control is unknown, locked or out of range, or the camera kept another
            value.
    """
    access = ControlAccess(device, camera)
    return features.apply(access, _with_automatics_off(access, wanted), camera=camera)


class ControlAccess:
    """The controls of a device, as `features.apply` asks for them."""

    def __init__(self, device: V4l2Device, camera: str):
        self._device = device
        self._camera = camera

    def find(self, name: str) -> Feature | None:
        """Describe a control as it is now; None when the camera does not have it."""
        control = self._control(name)
        if control is None:
            return None
        kind = _KINDS[control.kind]
        if kind == "integer":
            return Feature(
                kind, control.is_writable, control.minimum, control.maximum, control.step or 1
            )
        return Feature(kind, control.is_writable, entries=tuple(control.entries.values()))

    def names(self) -> Sequence[str]:
        """Return the names of all controls."""
        controls = self._device.controls()
        ids = {control.id for control in controls.values()}
        return [*(name for name, known in NAMED.items() if known.id in ids), *controls]

    def read(self, name: str) -> FeatureValue:
        """Return the value of a control."""
        control = self._there(name)
        try:
            value = self._device.get(control)
        except OSError as error:
            raise self._refused(name, error) from None
        if control.kind == "boolean":
            return bool(value)
        return control.entries.get(value, str(value)) if control.entries else value

    def write(self, name: str, value: FeatureValue) -> None:
        """Set a control, or press a button."""
        control = self._there(name)
        numbers = {word: number for number, word in control.entries.items()}
        number = numbers[value] if isinstance(value, str) else int(value)
        try:
            self._device.set(control, number)
        except OSError as error:
            raise self._refused(name, error) from None

    def word(self, name: str, number: int) -> FeatureValue:
        """Return the word of a menu, or True or False of a control with two states."""
        control = self._there(name)
        return control.entries.get(number, "") if control.entries else bool(number)

    def _control(self, name: str) -> Control | None:
        controls = self._device.controls()
        known = NAMED.get(name)
        if known is None:
            return controls.get(name)
        return next((each for each in controls.values() if each.id == known.id), None)

    def _there(self, name: str) -> Control:
        control = self._control(name)
        if control is None:
            raise CameraUnavailable(f"{self._camera}: {name}: the camera does not have it any more")
        return control

    def _refused(self, name: str, error: OSError) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: {name}: the driver says: {error.strerror}")


def _with_automatics_off(
    access: ControlAccess, wanted: Mapping[str, FeatureValue]
) -> dict[str, FeatureValue]:
    """Return `wanted` with its automatics in front, turned off where a value is given."""
    automatics = {name: wanted[name] for name in wanted if "auto" in name}
    for name in wanted:
        known = NAMED.get(name)
        if known is None or known.automatic is None or known.automatic in automatics:
            continue
        if access.find(known.automatic) is not None:
            automatics[known.automatic] = access.word(known.automatic, known.off)
    return {**automatics, **wanted}
