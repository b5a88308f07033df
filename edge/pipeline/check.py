"""Everything about a station that can be proven without its camera and broker."""

from __future__ import annotations

from edge.bundle.store import open_bundle
from edge.cameras.address import make_source
from edge.config.station import StationConfig
from edge.engines.load import load_engine
from edge.mqtt.credentials import read_login, tls_context
from edge.pipeline.inspector import Inspector


def check_station(config: StationConfig) -> None:
    """Verify bundle, engine, golden picture, camera address and secrets.

    Raises:
        EdgeError: the first thing that is wrong.
    """
    make_source(config.camera)
    if config.mqtt.broker == "external":
        read_login(config.mqtt)
        tls_context(config.mqtt)
    bundle = open_bundle(config.bundle)
    with load_engine(bundle, config.engine) as engine:
        Inspector(bundle, engine, config.decision).self_test()
