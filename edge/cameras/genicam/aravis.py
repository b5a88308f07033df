"""`genicam://`: a GigE Vision or USB3 Vision camera through Aravis."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from urllib.parse import unquote

from edge.cameras.address import Address
from edge.cameras.genicam.aravis_session import Wanted, start_session
from edge.cameras.genicam.session import SessionSource
from edge.cameras.query import Query
from edge.config.camera import CameraSettings

_BUFFERS = 8


class AravisSource(SessionSource):
    """A camera that is opened by its serial number or user name; another one is refused."""

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> AravisSource:
        """Read the keys `transport`, `host`, `packet_size` and `buffers`."""
        query, name = address.query, unquote(address.place)
        query.only("transport", "host", "packet_size", "buffers")
        if not name or "/" in name:
            raise query.problem("expected genicam://SERIAL, or the user name of a camera")
        packet_size, buffers = query.whole("packet_size", 576), query.whole("buffers", 2)
        if (packet_size or 0) > 65535 or (buffers or 0) > 256:
            raise query.problem("expected packet_size up to 65535 and buffers up to 256")
        chosen = query.choice("transport", ("gige", "usb3", "fake"))
        wanted = Wanted(
            camera=settings.name,
            name=name,
            transport=chosen,  # type: ignore[arg-type]
            host=_host(query),
            packet_size=packet_size,
            buffers=buffers or _BUFFERS,
            features=settings.features,
        )
        start = partial(start_session, wanted)
        return cls(settings.name, f"genicam://{name}", start, settings.stall_timeout_s)


def _host(query: Query) -> str | None:
    host = query.text("host")
    if host is not None:
        try:
            ip_address(host)
        except ValueError:
            raise query.problem(f"host: expected a network address, got {host}") from None
    return host
