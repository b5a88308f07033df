"""`gentl://`: a camera of any vendor through its GenTL producer, by harvesters."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from edge.cameras.address import Address
from edge.cameras.genicam import gentl_producer
from edge.cameras.genicam.genapi_features import one_line
from edge.cameras.genicam.gentl_producer import Producer, names, serial, text
from edge.cameras.genicam.gentl_session import GentlSession, Wanted
from edge.cameras.genicam.session import SessionSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable

_BUFFERS = 8


class GentlSource(SessionSource):
    """A camera that is opened by its serial number, user name or id; another one is refused."""

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> GentlSource:
        """Read the keys `cti` and `buffers`."""
        query, name = address.query, unquote(address.place)
        query.only("cti", "buffers")
        if not name or "/" in name:
            raise query.problem("expected gentl://SERIAL?cti=/path/to/producer.cti")
        cti, buffers = query.text("cti"), query.whole("buffers", 2) or _BUFFERS
        if cti is not None and not (cti.startswith("/") and cti.endswith(".cti")):
            raise query.problem(f"cti: expected an absolute path that ends in .cti, got {cti}")
        if buffers > 256:
            raise query.problem("expected buffers up to 256")
        wanted = Wanted(settings.name, name, Path(cti) if cti else None, buffers, settings.features)
        start = partial(start_session, wanted)
        return cls(settings.name, f"gentl://{name}", start, settings.stall_timeout_s)


def start_session(wanted: Wanted) -> GentlSession:
    """Find the camera, open it, set it and start it.

    Raises:
        CameraUnavailable: with what was expected, what was found and what to do.
    """
    others: list[str] = []
    for path in gentl_producer.producers(wanted.cti, wanted.where):
        producer = gentl_producer.acquire(path, wanted.where)
        is_kept = False
        try:
            session = _connected(producer, wanted, others)
            if session is not None:
                is_kept = True
                return session
        finally:
            if not is_kept:
                gentl_producer.release(producer)
    raise CameraUnavailable(
        f"{wanted.where}: expected a camera with this serial number or user name, found "
        f"{', '.join(others) or 'no camera'}; check power and cable, and that no other program has "
        f"the producer"
    )


def _connected(producer: Producer, wanted: Wanted, others: list[str]) -> GentlSession | None:
    """Open the camera if the producer has it; otherwise add those it has to `others`."""
    failure = importlib.import_module("genicam.gentl").GenericException

    def choose(found: list[Any]) -> Any:
        chosen = [each for each in found if wanted.name in names(each)]
        if len(chosen) > 1:
            ids = ", ".join(text(each, "id_") for each in chosen)
            raise CameraUnavailable(
                f"{wanted.where}: expected one camera with this name, found {ids}; write one of "
                f"these ids instead"
            )
        if not chosen:
            others.extend(f"{serial(each)} ({text(each, 'model')})" for each in found)
        return chosen[0] if chosen else None

    try:
        device, acquirer = producer.connect(choose)
    except failure as error:
        raise CameraUnavailable(
            f"{wanted.where}: the camera was found but cannot be opened: {one_line(error)}; end "
            f"other programs that have it"
        ) from None
    if device is None:
        return None
    session = GentlSession(producer, acquirer, wanted)
    try:
        session.set_up(device)
    except CameraUnavailable:
        session.disconnect()
        raise
    except session.failure as error:
        session.disconnect()
        raise CameraUnavailable(
            f"{wanted.where}: starting the camera failed: {one_line(error)}"
        ) from None
    return session
