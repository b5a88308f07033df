"""The ways in: what reads bytes that others wrote, its seeds, and the errors it may answer with."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge.bundle.store import open_bundle
from edge.cameras.factory import make_source
from edge.cli.watch import Watched
from edge.config.mqtt import parse_broker
from edge.config.station import CameraSettings, read_station
from edge.errors import BundleError, CameraError, ConfigError
from edge.messages.command import command_payload, read_command
from edge.messages.message import Message
from edge.mqtt.topics import Topics
from edge.picture_file import decode_picture
from tests.fuzz.rogue_broker import SESSIONS, RogueBroker
from tests.support.bundles import DEMO_BUNDLE, ROOT, with_two_graphs
from tests.support.mqtt_results import make_payload

CORPUS = Path(__file__).parent / "corpus"


@dataclass
class Door:
    """One way in.

    Attributes:
        open: reads one input.
        refusals: the errors that are answers; anything else is a finding.
        share: of a campaign's inputs, in parts of a thousand.
        seeds: sound inputs; those of the corpus whose name begins with the door's come on top.
        words: pieces of its format.
        close: gives back what `make` took.
    """

    open: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    share: int
    seeds: list[bytes]
    words: tuple[bytes, ...] = ()
    close: Callable[[], object] = field(default=lambda: None)


def make_door(name: str) -> Door:
    """Make one door with its corpus."""
    door = DOORS[name]()
    door.seeds += [path.read_bytes() for path in sorted(CORPUS.glob(f"{name}-*"))]
    return door


def _scratch() -> tuple[Path, Callable[[], object]]:
    folder = Path(tempfile.mkdtemp(prefix="edge-fuzz-"))
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)


def _config() -> Door:
    folder, close = _scratch()
    path = folder / "station.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_station(path)

    seeds = [file.read_bytes() for file in sorted((ROOT / "configs").glob("*.yaml"))]
    words = (b"!!timestamp", b"!!binary", b"&a ", b"*a", b"<<: *a", b"? ", b"- ", b": ", b"|\n",
             b"2001-99-99", b"1_000", b"1:60:60", b"10 GiB", b"!!python/name:os")  # fmt: skip
    return Door(read, (ConfigError,), 160, seeds, words, close)


def _camera_address() -> Door:
    seeds = [b"file:///data/parts?fps=5&loop=1", b"v4l2:///dev/video0?width=1280&fourcc=MJPG",
             b"rtsp://user:pw@host:554/path?transport=tcp&user_env=U", b"file:///data/a.mp4",
             b"test://conveyor?fps=10&fault=drop:0.01", b"rtsp://[::1]:1"]  # fmt: skip

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        make_source(CameraSettings.model_construct(source=text, name="cam0"))

    words = (
        b"://",
        b"?",
        b"&",
        b"=",
        b"@",
        b"%2e",
        b"#",
        b"[::",
        b":99999",
        b"file://",
        b"rtsp://",
    )
    return Door(read, (ConfigError, CameraError), 170, seeds, words)


def _broker_address() -> Door:
    seeds = [b"mqtt://127.0.0.1:1883", b"mqtts://user:pw@host", b"mqtt://[::1]:1883", b"embedded"]

    def read(data: bytes) -> None:
        parse_broker(data.decode("utf-8", "surrogateescape"), "--mqtt")

    return Door(read, (ConfigError,), 170, seeds, (b"://", b"@", b":", b"[", b"]", b"\xe2\x84\xa0"))


def _command() -> Door:
    payload = command_payload("c1", "ann", {"recipe": "b"}, lifetime_s=30, expect={})
    words = (b"9999-12-31T23:59:59Z", b"2026-01-01T00:00:00", b"Infinity", b"NaN", b'"args":{}')
    return Door(read_command, (ValueError,), 180, [json.dumps(payload).encode()], words)


def _payload() -> Door:
    watched = Watched(Topics("p", "+", "+"), lambda _: None)
    kinds = ("result", "status", "state", "counters", "alerts")

    def read(data: bytes) -> None:
        kind, body = kinds[data[0] % len(kinds)] if data else "result", data[1:]
        watched.take(Message(f"p/n/s/{kind}", body, is_stored=False))
        watched.table()

    result = json.dumps(make_payload()).encode()
    seeds = [bytes([number]) + result for number in range(len(kinds))]
    return Door(read, (), 80, seeds, (b"NaN", b"1e400", b"[[[[", b'{"result":', b"\\ud800"))


def _picture() -> Door:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 31, 3), np.uint8)
    seeds = [
        cv2.imencode(suffix, image)[1].tobytes()
        for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp")
        for image in (pixels, pixels[..., 0])
    ]
    seeds.append(cv2.imencode(".png", pixels.astype(np.uint16) * 256)[1].tobytes())
    words = (b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"IHDR", b"IDAT", b"IEND",
             b"II*\x00", b"MM\x00*", b"BM", b"RIFF", b"WEBPVP8X", b"\x7f\xff\xff\xff")  # fmt: skip
    return Door(decode_picture, (ValueError,), 180, seeds, words)


def _bundle_document(document: str, share: int) -> Door:
    """One file of a small bundle, with a manifest that calls the changed file intended."""
    folder, close = _scratch()
    bundle = with_two_graphs(Path(shutil.copytree(DEMO_BUNDLE, folder / "bundle")))
    for graph in set(bundle.glob("models/*")) - set(bundle.glob("models/*[st].onnx")):
        graph.unlink()
    path, manifest = bundle / document, bundle / "bundle.json"
    whole = json.loads(manifest.read_text())
    whole["files"] = {name: sha for name, sha in whole["files"].items() if (bundle / name).exists()}
    manifest.write_text(json.dumps(whole))
    seeds = [path.read_bytes()]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        if path != manifest:
            whole["files"][document] = hashlib.sha256(data).hexdigest()
            manifest.write_text(json.dumps(whole))
        opened = open_bundle(bundle)
        opened.golden()
        opened.golden_maps()

    words = (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"[]", b"{}", b'"files"', b"descr", b"|O")
    return Door(read, (BundleError,), share, seeds, words, close)


def _rogue_broker() -> Door:
    broker = RogueBroker()
    words = (b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00", b"\x40\x02\x00\x01",
             b"\x90\x03\x00\x01\x00", b"\xff\xff\xff\x7f", b"\xe0\x00", b"\xd0\x00",
             b"\x62\x02\x00\x01", b"\xe0\x01\x8e")  # fmt: skip
    return Door(broker.serve, (), 10, list(SESSIONS), words, broker.close)


DOORS: dict[str, Callable[[], Door]] = {
    "config": _config,
    "camera": _camera_address,
    "broker": _broker_address,
    "command": _command,
    "payload": _payload,
    "picture": _picture,
    "manifest": lambda: _bundle_document("bundle.json", 15),
    "recipe": lambda: _bundle_document("recipe.yaml", 10),
    "thresholds": lambda: _bundle_document("thresholds.json", 10),
    "scores": lambda: _bundle_document("calibration/scores.json", 5),
    "golden": lambda: _bundle_document("golden/golden.json", 5),
    "golden_maps": lambda: _bundle_document("golden/maps.npz", 5),
    "rogue_broker": _rogue_broker,
}
