"""`gst://NAME`: a pipeline that stands in the station file under this name."""

from __future__ import annotations

from urllib.parse import unquote

from edge.cameras.address import Address
from edge.cameras.gstreamer.source import PipelineSource
from edge.cameras.query import nearest
from edge.config.camera import CameraSettings


def make_named(address: Address, settings: CameraSettings) -> PipelineSource:
    """Return the closed source of `settings.pipelines` that the address names."""
    query, name = address.query, unquote(address.place)
    if not name:
        raise query.problem("expected the name of a pipeline, such as gst://belt")
    query.only()
    if not settings.pipelines:
        raise query.problem(
            "expected a pipeline of the station file, found none; name one in the station file: "
            f'pipelines: {{{name}: "v4l2src ! videorate"}} under camera'
        )
    if name not in settings.pipelines:
        known = nearest(name, settings.pipelines)
        raise query.problem(f"expected a pipeline of the station file{known}")
    text = settings.pipelines[name]
    return PipelineSource(
        settings.name, address.shown, text, stall_timeout_s=settings.stall_timeout_s
    )
