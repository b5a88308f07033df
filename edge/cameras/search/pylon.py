"""Basler cameras, through pypylon."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from edge.cameras.genicam.genapi_features import GenApiFeatures, camel, one_line
from edge.cameras.genicam.pylon_devices import library, serial, user_name
from edge.cameras.search.found import FoundCamera, feature_formats, title


def search() -> list[FoundCamera]:
    """Return every camera that pylon finds.

    Raises:
        CameraUnavailable: the library is missing.
    """
    pylon = library()
    factory = pylon.TlFactory.GetInstance()
    return [_looked_at(pylon, factory, info) for info in factory.EnumerateDevices()]


def _looked_at(pylon: Any, factory: Any, info: Any) -> FoundCamera:
    number = serial(info)
    address = f"pylon://{quote(number or user_name(info), safe='')}"
    name = title((info.GetVendorName(), info.GetModelName(), number, user_name(info)))
    camera = None
    try:
        camera = pylon.InstantCamera(factory.CreateDevice(info))
        camera.Open()
        nodes = camera.GetNodeMap()
        failure = pylon.GenericException
        access = GenApiFeatures(nodes.GetNode, nodes.GetNodes, failure, camel, name)
        formats = feature_formats(access)
    except pylon.GenericException as error:
        return FoundCamera(address, name, problem=f"does not open: {one_line(error)}")
    finally:
        if camera is not None:
            camera.Close()
    return FoundCamera(address, name, formats)
