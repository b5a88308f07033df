"""GigE Vision and USB3 Vision cameras, through Aravis."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from edge.cameras.genicam.aravis_devices import Found, aravis
from edge.cameras.genicam.aravis_devices import search as search_aravis
from edge.cameras.introspection import system_library
from edge.cameras.search.found import FoundCamera, title


def search() -> list[FoundCamera]:
    """Return every camera that answers.

    Raises:
        CameraUnavailable: the library is missing.
    """
    library = aravis()
    failure: type[Exception] = system_library("GLib", "2.0", "python3-gi").Error
    return [_looked_at(library, failure, each) for each in search_aravis(library)]


def _looked_at(library: Any, failure: type[Exception], found: Found) -> FoundCamera:
    address = f"genicam://{quote(found.serial or found.id, safe='')}"
    name = title((found.vendor, found.model, found.serial, f"({found.transport} {found.place})"))
    try:
        camera = library.Camera.new(found.id)
        formats = ", ".join(camera.dup_available_pixel_formats_as_strings())
        width, height = camera.get_width_bounds()[1], camera.get_height_bounds()[1]
        now = f"up to {width}x{height}"
        if camera.is_frame_rate_available():
            now += f" up to {camera.get_frame_rate_bounds()[1]:g} fps"
    except failure as error:
        what = getattr(error, "message", str(error))
        return FoundCamera(address, name, problem=f"does not open: {what}")
    return FoundCamera(address, name, (formats, now))
