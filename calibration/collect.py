"""Freeze pictures of good parts as a calibration set, for INT8.

    python calibration/collect.py file:///data/parts/train/good --out sets/pcb --count 64
    python calibration/collect.py station.yaml --out sets/line3 --count 64 --every 20

Replayed parts whose folder says that they are not good are left out (`?labels=none` if folders mean
something else). Of a station file, its camera's parts are judged with its bundle, and only those
that pass are kept. Never collect from a test set. Prints the set's id.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from edge.bundle.signature import read_trust
from edge.bundle.store import open_bundle
from edge.cameras.factory import make_source
from edge.config.station import CameraSettings, DecisionSettings, read_station
from edge.engines.load import load_engine, load_types_engine
from edge.errors import ConfigError, EdgeError
from edge.frame import GOOD, Frame
from edge.inspection.inspector import Inspector
from edge.redaction import redacted
from edge.result import Verdict
from edge.toolchain.quantization.calibration_set import freeze_calibration_set


def main() -> None:
    """Collect, freeze, print the id."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="camera address, or a station file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new set")
    parser.add_argument("--count", type=int, default=64, help="pictures to keep; default 64")
    parser.add_argument("--every", type=int, default=1, help="keep one part of so many")
    options = parser.parse_args()
    try:
        if min(options.count, options.every) < 1:
            raise ConfigError("--count and --every: expected at least 1")
        kept = itertools.islice(parts(options.source), 0, None, options.every)
        pictures = ((frame.pixels_bgr, name(frame)) for frame in kept)
        chosen = itertools.islice(pictures, options.count)
        found = freeze_calibration_set(options.out, chosen, redacted(options.source))
    except EdgeError as error:
        sys.exit(f"error: {error}")
    print(f"{found.id}  {options.out}: {found.manifest.count} pictures")


def parts(source: str) -> Iterator[Frame]:
    """Yield the frames of good parts, without end where the camera has none."""
    if "://" in source:
        yield from frames(CameraSettings(source=source))
        return
    station = read_station(Path(source))
    if station.bundle is None:
        raise ConfigError(f"{source}: expected a station with one bundle, found recipes")
    bundle, settings = open_bundle(station.bundle, read_trust(station.trust)), station.engine
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspector = Inspector(bundle, engine, DecisionSettings(), types)
        for frame in frames(station.camera):
            if inspector.inspect(frame).inspection.verdict is Verdict.PASS:
                yield frame


def frames(settings: CameraSettings) -> Iterator[Frame]:
    """Yield the camera's frames that have a picture, and no label but good."""
    camera = make_source(settings)
    camera.open()
    try:
        while (frame := camera.read()) is not None:
            label = frame.part.label if frame.part else None
            if frame.pixels_bgr is not None and label in {None, GOOD}:
                yield frame
    finally:
        camera.close()


def name(frame: Frame) -> str:
    """Return the part's name by its source, or the time when it was taken."""
    return frame.part.id if frame.part else frame.captured_at.isoformat()


if __name__ == "__main__":
    main()
