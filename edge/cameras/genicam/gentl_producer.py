"""GenTL producers (`.cti` files) of this process: each is opened once and shared by its cameras."""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.errors import CameraUnavailable

# Folders of producers, as the standard names them for 64-bit programs.
PATHS = "GENICAM_GENTL64_PATH"
_PACKAGE = "the packages harvesters and genicam"
_SEARCH_MS = 1000
_using = threading.Lock()
_open: dict[Path, Producer] = {}


class Producer:
    """One producer and the cameras that it finds; made by `acquire`, given back by `release`."""

    def __init__(self, path: Path, harvester: Any):
        self.path = path
        self._harvester = harvester
        self._users = 0
        self._connected = 0

    def devices(self) -> list[Any]:
        """Return what there is to know of each camera that the producer finds now."""
        with _using:
            return self._search()

    def connect(self, choose: Callable[[list[Any]], Any]) -> tuple[Any, Any]:
        """Search and open in one step, since a search makes what others have found stale.

        Args:
            choose: takes what was found; returns one of it, or None.

        Returns:
            What was chosen, and the open camera; None and None when nothing was.
        """
        with _using:
            device = choose(self._search())
            if device is None:
                return None, None
            acquirer = self._harvester.create(device)
            self._connected += 1
            return device, acquirer

    def disconnect(self, acquirer: Any) -> None:
        """Close a camera; what fails then does not matter."""
        failure = importlib.import_module("genicam.gentl").GenericException
        with _using:
            self._connected -= 1
            with suppress(failure, AttributeError):
                acquirer.destroy()

    def _search(self) -> list[Any]:
        if self._connected:
            self._look_again()
        else:
            # Looks for everything anew, which takes every camera out of use.
            self._harvester.update()
        return list(self._harvester.device_info_list)

    def _look_again(self) -> None:
        """Search the interfaces that are known, and leave the cameras that are in use alone."""
        devices = self._harvester.device_info_list
        proxy = importlib.import_module("harvesters.core").DeviceInfo
        known = {each.id_ for each in devices}
        for interface in {id(each.parent): each.parent for each in devices}.values():
            interface.module.update_device_info_list(_SEARCH_MS)
            for module in interface.module.device_info_list:
                if module.id_ not in known:
                    devices.append(proxy(module=module, parent=interface))

    def retain(self) -> None:
        """Count one more user."""
        self._users += 1

    def drop(self) -> bool:
        """Count one user less; True when nobody uses it any more and it was closed."""
        self._users -= 1
        if self._users:
            return False
        self._harvester.reset()
        return True


def producers(cti: Path | None, where: str) -> list[Path]:
    """Return the producer of an address, or all that the environment names.

    Raises:
        CameraUnavailable: there is none.
    """
    if cti is not None:
        return [cti]
    folders = [Path(name) for name in os.environ.get(PATHS, "").split(os.pathsep) if name]
    found = [path for folder in folders for path in sorted(folder.glob("*.cti"))]
    if not found:
        raise CameraUnavailable(
            f"{where}: expected a GenTL producer, found none; write ?cti=/path/to/producer.cti, or "
            f"set {PATHS} to its folder"
        )
    return found


def acquire(path: Path, where: str) -> Producer:
    """Open a producer, or share the one that is open; `release` gives it back.

    Raises:
        CameraUnavailable: it or the library is missing, or it is no producer.
    """
    core = _library(where)
    _check(path, where)
    with _using:
        producer = _open.get(path)
        if producer is None:
            harvester = core.Harvester()
            harvester.add_file(str(path))
            producer = _open[path] = Producer(path, harvester)
        producer.retain()
        return producer


def release(producer: Producer) -> None:
    """Give a producer back; the last user closes it."""
    with _using:
        if producer.drop():
            del _open[producer.path]


def names(device: Any) -> set[str]:
    """Return the names by which a camera can be opened."""
    return {text(device, each) for each in ("serial_number", "user_defined_name", "id_")} - {""}


def serial(device: Any) -> str:
    """Return the serial number of a camera; its id where it has none."""
    return text(device, "serial_number") or text(device, "id_")


def text(device: Any, name: str) -> str:
    """Return what a producer says of a camera; empty where it does not say."""
    failure = importlib.import_module("genicam.gentl").GenericException
    try:
        return str(getattr(device, name) or "")
    except (failure, AttributeError):
        return ""


def _library(where: str) -> Any:
    try:
        core = importlib.import_module("harvesters.core")
    except ImportError:
        raise CameraUnavailable(
            f"{where}: expected {_PACKAGE}, found none; pip install 'edge-inspection[genicam]'"
        ) from None
    # It logs what it raises as well, with tracebacks.
    logging.getLogger("harvesters.core").setLevel(logging.CRITICAL)
    return core


def _check(path: Path, where: str) -> None:
    if not path.is_file():
        raise CameraUnavailable(
            f"{where}: expected a GenTL producer at {path}, found no file; install the producer of "
            f"the camera's vendor"
        )
    try:
        is_producer = hasattr(ctypes.CDLL(str(path)), "GCInitLib")
        found = "another library"
    except OSError as error:
        is_producer, found = False, " ".join(str(error).split())
    if not is_producer:
        raise CameraUnavailable(
            f"{where}: expected a GenTL producer at {path}, found {found}; install the producer "
            f"for this machine ({os.uname().machine})"
        )
