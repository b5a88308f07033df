"""Cameras of the GenTL producers that GENICAM_GENTL64_PATH names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge.cameras.genicam import gentl_producer
from edge.cameras.genicam.genapi_features import GenApiFeatures, one_line, snake
from edge.cameras.genicam.gentl_producer import Producer, serial, text
from edge.cameras.search.found import FoundCamera, feature_formats, title
from edge.errors import CameraUnavailable


def search() -> list[FoundCamera]:
    """Return every camera of every producer.

    Raises:
        CameraUnavailable: the library or every producer is missing.
    """
    found: list[FoundCamera] = []
    for path in gentl_producer.producers(None, "gentl"):
        try:
            producer = gentl_producer.acquire(path, "gentl")
        except CameraUnavailable as error:
            if not path.is_file() or "producer" not in str(error):
                raise
            found.append(FoundCamera("", path.name, problem=str(error)))
            continue
        try:
            # Opening one searches anew, which makes the others stale: their names come first.
            known = [(text(each, "id_"), *_named(path, each)) for each in producer.devices()]
            found += [_looked_at(producer, *each) for each in known]
        finally:
            gentl_producer.release(producer)
    return found


def _named(path: Path, device: Any) -> tuple[str, str]:
    """Return address and name."""
    address = f"gentl://{quote(serial(device), safe='')}?cti={quote(str(path))}"
    return address, title((text(device, "vendor"), text(device, "model"), serial(device)))


def _looked_at(producer: Producer, device_id: str, address: str, name: str) -> FoundCamera:
    gentl = importlib.import_module("genicam.gentl")
    genapi = importlib.import_module("genicam.genapi")
    acquirer = None
    try:
        _, acquirer = producer.connect(
            lambda found: next((each for each in found if text(each, "id_") == device_id), None)
        )
        if acquirer is None:
            return FoundCamera(address, name, problem="went away during the search")
        nodes = acquirer.remote_device.node_map
        access = GenApiFeatures(
            nodes.get_node, lambda: nodes.nodes, genapi.GenericException, snake, name
        )
        formats = feature_formats(access)
    except gentl.GenericException as error:
        return FoundCamera(address, name, problem=f"does not open: {one_line(error)}")
    finally:
        if acquirer is not None:
            producer.disconnect(acquirer)
    return FoundCamera(address, name, formats)
