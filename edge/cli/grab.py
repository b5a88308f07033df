"""edge-grab: look through a camera, focus it, and collect training pictures."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, progress, run, say, setup_logging
from edge.cli.frame_aid_text import aid_line, aid_lines
from edge.errors import CameraUnavailable, ConfigError
from edge.redaction import redacted_address

if TYPE_CHECKING:
    from edge.config.camera import CameraSettings
    from edge.data.collecting import GoodPictures, Outcome
    from edge.frame import Frame
    from edge.inspection.focus import FrameAid

EPILOG = """Examples:\n
  edge-grab v4l2:///dev/v4l/by-id/usb-acme-video-index0\n
  edge-grab gst://belt --station station.yaml --watch\n
  edge-grab csi://0?mode=2 --out parts --good 200
"""
# As often as a person can read along.
TERMINAL_S, PIPE_S = 0.2, 1.0
# So many frames like others in a row mean that nothing moves.
MANY_ALIKE = 100
app = make_app()


@app.command(epilog=EPILOG)
def grab(
    address: Annotated[
        str | None,
        typer.Argument(help="camera address; default that of --station", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the picture, default this one; with --good the data folder"),
    ] = None,
    good: Annotated[
        int | None,
        typer.Option(min=1, help="collect so many new pictures of good parts in OUT/train/good"),
    ] = None,
    station: Annotated[
        Path | None, typer.Option(help="station file with the camera's features and pipelines")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="show the figures live until Ctrl-C, for the lens")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON objects")] = False,
) -> None:
    """Write one live frame as a picture, with figures for focus and exposure.

    With --good it collects training pictures instead, one per part: a frame that is nearly the same
    as one before is refused. Pictures are PNG, and no file is written over. Exit codes: 0 done,
    2 configuration, 5 camera, 8 a file that cannot be written, 130 Ctrl-C.
    """
    setup_logging("warning")
    if good is not None and (watch or out is None):
        raise typer.BadParameter("--good needs --out FOLDER and goes without --watch")
    settings = _settings(address, station)
    # Cameras load here and not before: a wrong option must not cost a second.
    from edge.station.capture.watching import watch_camera

    with closing(watch_camera(settings)) as frames:
        if good is not None and out is not None:
            _collect(frames, good, out, as_json=as_json)
        elif watch:
            _watch(frames, as_json=as_json)
        else:
            _take_one(frames, out or Path(), as_json=as_json)


def _settings(address: str | None, station: Path | None) -> CameraSettings:
    from edge.config.camera import CameraSettings
    from edge.config.station import read_station

    if address is None and station is None:
        raise typer.BadParameter("expected a camera address, or --station FILE")
    if address is not None and "://" not in address:
        raise ConfigError(
            f"expected a camera address such as v4l2:///dev/video0 or file:///data, got "
            f"{redacted_address(address)}"
        )
    settings = (
        CameraSettings(source="file:///") if station is None else read_station(station).camera
    )
    return settings if address is None else settings.model_copy(update={"source": address})


def _take_one(frames: Iterator[Frame], out: Path, *, as_json: bool) -> None:
    from edge.data.collecting import write_picture
    from edge.inspection.focus import measure_aid

    frame = _first_whole(frames)
    assert frame.pixels_bgr is not None  # noqa: S101 - a whole frame has pixels
    out.mkdir(parents=True, exist_ok=True)
    path = write_picture(out, frame)
    aid = measure_aid(frame.pixels_bgr)
    if as_json:
        print(json.dumps({"picture": str(path), **_as_json(frame, aid)}), flush=True)
        return
    width, height = frame.size_wh
    say(f"{path}: {width}x{height} pixels")
    for line in aid_lines(aid):
        say(line)


def _first_whole(frames: Iterator[Frame]) -> Frame:
    fault = "the source is empty"
    for frame in frames:
        if frame.pixels_bgr is not None:
            return frame
        fault = frame.fault or fault
    raise CameraUnavailable(f"expected a frame with a picture, got none: {fault}")


def _watch(frames: Iterator[Frame], *, as_json: bool) -> None:
    """Show figures now and then, and the last ones in any case."""
    from edge.inspection.focus import measure_aid

    is_terminal = sys.stdout.isatty() and not as_json
    pause_s = TERMINAL_S if is_terminal else PIPE_S
    best, shown_s, waiting = 0.0, -pause_s, ""
    for frame in frames:
        if frame.pixels_bgr is None:
            continue
        aid = measure_aid(frame.pixels_bgr)
        best = max(best, aid.sharpness)
        waiting = json.dumps(_as_json(frame, aid)) if as_json else aid_line(aid, best)
        if time.monotonic() - shown_s >= pause_s:
            _show(waiting, is_terminal=is_terminal)
            shown_s, waiting = time.monotonic(), ""
    if waiting:
        _show(waiting, is_terminal=is_terminal)
    if is_terminal:
        print()


def _show(line: str, *, is_terminal: bool) -> None:
    if is_terminal:
        print(f"\r\033[K{line}", end="", flush=True)
    else:
        print(line, flush=True)


def _collect(frames: Iterator[Frame], wanted: int, out: Path, *, as_json: bool) -> None:
    """Keep `wanted` new pictures; what was kept is said, however it ends."""
    from edge.data.collecting import GoodPictures

    pictures = GoodPictures(out)
    try:
        with progress(f"good pictures in {pictures.folder}", wanted) as advance:
            alike_in_a_row = 0
            for number, frame in enumerate(frames):
                if number == 0:
                    pictures.check_space(wanted, frame)
                with _finished_first():
                    outcome = pictures.offer(frame)
                alike_in_a_row = alike_in_a_row + 1 if outcome == "alike" else 0
                if alike_in_a_row == MANY_ALIKE:
                    _warn(f"{MANY_ALIKE} frames in a row show what was taken before: move the part")
                if outcome == "kept":
                    advance(1)
                if pictures.counts["kept"] == wanted:
                    return
    finally:
        _say_collected(pictures, out, as_json=as_json)
    raise CameraUnavailable(
        f"expected {wanted} new pictures of good parts, the source ended after "
        f"{pictures.counts['kept']}; add more parts, or ask for fewer"
    )


@contextmanager
def _finished_first() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: what is on the disk must be counted, too."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _say_collected(pictures: GoodPictures, out: Path, *, as_json: bool) -> None:
    counts = pictures.counts
    if as_json:
        kept = {"folder": str(pictures.folder), "pictures": len(pictures), "new": counts["kept"]}
        refused = {key: counts[key] for key in ("alike", "unusable", "defect")}
        print(json.dumps({**kept, "refused": refused}), flush=True)
        return
    say(f"{pictures.folder}: {counts['kept']} new pictures, {len(pictures)} in all")
    say(f"refused: {counts['alike']} near-duplicates{_others(counts)}")
    if counts["kept"]:
        say(f"next: edge-train --data {out} --out RUN")


def _others(counts: Counter[Outcome]) -> str:
    named: dict[Outcome, str] = {
        "unusable": "frames without a picture",
        "defect": "simulated defects",
    }
    return "".join(f", {counts[key]} {what}" for key, what in named.items() if counts[key])


def _as_json(frame: Frame, aid: FrameAid) -> dict[str, object]:
    return {"size_wh": frame.size_wh, **asdict(aid), "advice": aid.advice}


def main() -> None:
    """Entry point."""
    run(app)
