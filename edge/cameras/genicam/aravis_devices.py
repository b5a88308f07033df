"""Cameras that Aravis finds, and the one that an address means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edge.cameras.introspection import system_library
from edge.errors import CameraUnavailable

Transport = Literal["gige", "usb3", "fake"]
_PROTOCOLS = {"GigEVision": "gige", "USB3Vision": "usb3", "Fake": "fake"}
PACKAGES = "gir1.2-aravis-0.8 and python3-gi"


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that answered the search.

    Attributes:
        id: name by which Aravis opens it.
        serial: its serial number.
        vendor, model: as the camera says.
        place: network address or USB bus.
        hardware: MAC address or USB identity.
        transport: how it is connected.
    """

    id: str
    serial: str
    vendor: str
    model: str
    place: str
    hardware: str
    transport: str

    def __str__(self) -> str:
        return f"{self.serial} ({self.vendor} {self.model}, {self.transport} {self.place})"


def aravis() -> Any:
    """Return the library.

    Raises:
        CameraUnavailable: it is not installed; says what to install.
    """
    return system_library("Aravis", "0.8", PACKAGES)


def search(library: Any, transport: Transport | None = None) -> list[Found]:
    """Look for cameras; takes about a second. The simulated one only shows when asked for."""
    if transport == "fake":
        library.enable_interface("Fake")
    library.update_device_list()
    found = [_found(library, i) for i in range(library.get_n_devices())]
    wanted = {transport} if transport else {"gige", "usb3"}
    return [each for each in found if each.transport in wanted]


def choose(found: list[Found], name: str, camera: str) -> Found | None:
    """Return the camera with this serial number, hardware address or full name.

    Returns:
        None when no camera has it; it may still be the name that a user gave one.

    Raises:
        CameraUnavailable: several have it, or it is the place of a camera, where any may answer.
    """
    chosen = [each for each in found if name in {each.serial, each.id, each.hardware}]
    if len(chosen) > 1:
        raise CameraUnavailable(
            f"{camera}: genicam://{name}: expected one camera, found {len(chosen)}: "
            f"{', '.join(each.id for each in chosen)}; write one of these names instead"
        )
    at_place = [each.serial for each in found if each.place == name and not chosen]
    if at_place:
        raise CameraUnavailable(
            f"{camera}: genicam://{name}: expected a serial number or a user name, found a network "
            f"address, where another camera may answer tomorrow; write genicam://{at_place[0]}"
        )
    return chosen[0] if chosen else None


def absent(found: list[Found], name: str, camera: str) -> CameraUnavailable:
    """Return the error for a camera that did not answer, with those that did."""
    others = ", ".join(map(str, found)) if found else "no camera"
    return CameraUnavailable(
        f"{camera}: genicam://{name}: expected a camera with this serial number or user name, "
        f"found {others}; check power, cable and network address"
    )


def _found(library: Any, index: int) -> Found:
    def text(value: str | None) -> str:
        return value or ""

    return Found(
        id=text(library.get_device_id(index)),
        serial=text(library.get_device_serial_nbr(index)),
        vendor=text(library.get_device_vendor(index)),
        model=text(library.get_device_model(index)),
        place=text(library.get_device_address(index)),
        hardware=text(library.get_device_physical_id(index)),
        transport=_PROTOCOLS.get(text(library.get_device_protocol(index)), "other"),
    )
