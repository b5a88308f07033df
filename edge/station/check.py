"""Checks of a station that need neither its camera nor its broker."""

from __future__ import annotations

from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.mqtt.credentials import read_login, tls_context
from edge.station.acquisition.acquire import make_sources
from edge.station.capture.presence_selector import make_selector
from edge.station.recipes.recipes import Recipes


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
