"""Cameras that pylon finds, and the one that is wanted."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address and the station file ask for: camera's name here, name there, features."""

    camera: str
    name: str
    buffers: int
    features: Mapping[str, FeatureValue]

    @property
    def where(self) -> str:
        """Start of every message."""
        return f"{self.camera}: pylon://{self.name}"


def library() -> Any:
    """Return pypylon's module `pylon`.

    Raises:
        CameraUnavailable: it is not installed; says what to install.
    """
    try:
        return importlib.import_module("pypylon.pylon")
    except ImportError:
        raise CameraUnavailable(
            "pylon: expected the package pypylon, found none; pip install 'edge-inspection[pylon]'"
        ) from None


def choose(found: Any, wanted: Wanted) -> Any:
    """Return the camera with this serial number or user name.

    Raises:
        CameraUnavailable: none has it, or several have.
    """
    chosen = [each for each in found if wanted.name in {serial(each), user_name(each)}]
    if len(chosen) == 1:
        return chosen[0]
    shown = ", ".join(f"{serial(each)} ({each.GetModelName()})" for each in chosen or found)
    if chosen:
        raise CameraUnavailable(
            f"{wanted.where}: expected one camera with this name, found {shown}; write a serial "
            f"number"
        )
    raise CameraUnavailable(
        f"{wanted.where}: expected a camera with this serial number or user name, found "
        f"{shown or 'no camera'}; check power, cable and network address"
    )


def serial(info: Any) -> str:
    """Return the serial number of a camera that was found."""
    return str(info.GetSerialNumber()) if info.IsSerialNumberAvailable() else ""


def user_name(info: Any) -> str:
    """Return the name that somebody has written into a camera; empty without one."""
    return str(info.GetUserDefinedName()) if info.IsUserDefinedNameAvailable() else ""
