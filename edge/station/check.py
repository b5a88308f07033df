"""Checks of a station that need no broker, and its cameras only where that is asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edge.cameras.source import FrameSource
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import CameraError, CameraTimeout
from edge.mqtt.credentials import read_login, tls_context
from edge.station.acquisition.acquire import make_sources
from edge.station.capture.presence_selector import make_selector
from edge.station.recipes.recipes import Recipes

# Cameras on a network answer within seconds, or not at all.
OPENING_S = 20.0


def check_station(config: StationConfig) -> None:
    """Verify every recipe's bundle, engine and golden picture, camera address and secrets.

    Raises:
        EdgeError: the first thing that is wrong.
    """
    make_sources(config)
    make_selector(config.part, DropCounts(), is_live=False)
    if config.mqtt.broker == "external":
        read_login(config.mqtt)
        tls_context(config.mqtt)
    recipes = Recipes(config)
    for name in recipes.all:
        recipes.load(name).close()


def check_cameras(config: StationConfig, within_s: float = OPENING_S) -> tuple[str, ...]:
    """Open every camera of a station, close it again, and return their names.

    A camera that a running station holds cannot be opened. No picture is taken.

    Args:
        config: of the station.
        within_s: time for all cameras together; a driver may hang.

    Raises:
        ConfigError: an address is wrong.
        CameraError: the first camera that does not open.
    """
    names = tuple(camera.name for camera in config.cameras or (config.camera,))
    outcomes: dict[str, CameraError | None] = {}

    def open_all(sources: Sequence[FrameSource]) -> None:
        for name, source in zip(names, sources, strict=True):
            outcomes[name] = _opening_problem(source)

    # A thread inside a driver cannot be ended: as a daemon it does not hold up the end.
    opening = threading.Thread(
        target=open_all, args=(make_sources(config),), name="open-cameras", daemon=True
    )
    opening.start()
    opening.join(within_s)
    for name in names:
        if name not in outcomes:
            raise CameraTimeout(
                f"camera {name}: expected it to open within {within_s:g} s, it did not; look at "
                "power and cable, or check the rest with --no-camera"
            )
        error = outcomes[name]
        if error is not None:
            raise error
    return names


def _opening_problem(source: FrameSource) -> CameraError | None:
    try:
        source.open()
    except CameraError as error:
        return error
    finally:
        source.close()
    return None
