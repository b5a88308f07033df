"""A station reports which camera it has, how it is set and what was lost on the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from jsonschema import Draft202012Validator

from edge.config.station import StationConfig
from edge.messages.payload import schema
from edge.station.station import Station
from tests.support.bundles import make_bundle
from tests.support.gobject import gobject_or_skip

LIMIT_S = 60


def test_info_names_the_camera_and_health_its_losses(tmp_path: Path) -> None:
    gobject_or_skip("Aravis", "0.8")
    features = {"PixelFormat": "BayerRG8", "Width": 64, "Height": 64, "TriggerMode": False}
    values = {
        "node": "n",
        "station": "s",
        "bundle": make_bundle(tmp_path, "small"),
        "camera": {"source": "genicam://1?transport=fake", "features": features},
        "mqtt": {"broker": "none"},
        "health_interval_s": 0.05,
    }
    posts: dict[str, dict] = {}
    station = Station(StationConfig.model_validate(values), tmp_path)
    put = station._states.put
    station._states.put = lambda kind, payload: (posts.update({kind: payload}), put(kind, payload))
    thread = threading.Thread(target=station.run)
    thread.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        while not (posts.get("info", {}).get("camera") and posts.get("health", {}).get("camera")):
            assert time.monotonic() < deadline, posts
            time.sleep(0.01)
    finally:
        station.request_stop()
        thread.join(LIMIT_S)
    camera = posts["info"]["camera"]
    assert (camera["vendor"], camera["serial"]) == ("Aravis", "1")
    assert (camera["pixel_format"], camera["demosaicing"]) == ("BayerRG8", "bilinear")
    assert {**features, "TriggerMode": "Off"}.items() <= camera["features"].items()
    Draft202012Validator(schema("info")).validate(posts["info"])
    # Without a broker the rest of health is not what the schema asks for.
    part = schema("health")["properties"]["camera"]
    Draft202012Validator(part).validate(posts["health"]["camera"])
    assert all(isinstance(n, int) for n in posts["health"]["camera"]["transport"].values())
