"""edge-calibrate (more than 300 lines: five commands): lens, scale, place, and the threshold."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edge.cli.console import make_app, run, say, say_next, setup_logging
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.geometry.place import PlaceSections
    from edge.geometry.place_measurement import Measured

Given = TypeVar("Given", float, str)
EPILOG = """Examples:\n
  edge-calibrate lens boards/ --board 9x6 --out place.yaml\n
  edge-calibrate rectify flat.png --pitch-mm 5 --board 9x6 --out place.yaml\n
  edge-calibrate scale flat.png --pitch-mm 5 --board 9x6 --out place.yaml\n
  edge-calibrate scale ruler.png --length-mm 100 --between 212,388,1041,402 --out place.yaml\n
  edge-calibrate align good.png --box 300,220,200,160 --out geometry.yaml\n
  edge-calibrate threshold bundles/pcb --data fresh/ --rate 1% --out bundles/pcb-2\n
  edge-calibrate threshold bundles/pcb --data labelled/ --type-threshold dust=5% --out bundles/pcb-3
"""
app = make_app()

Pictures = Annotated[
    list[Path], typer.Argument(metavar="PICTURES", help="files or folders", show_default=False)
]
Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="a file", show_default=False)]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", help="inner corners of the checkerboard, such as 9x6: one fewer than "
                 "squares"),
]  # fmt: skip
Pitch = Annotated[
    float | None, typer.Option(min=1e-6, max=1e6, help="side of a square of the board")
]
Out = Annotated[
    Path, typer.Option(help="place file to write; its other sections stay", show_default=False)
]


@app.callback()
def calibrate() -> None:
    """Measure a camera's place, teach where a part lies, or set the threshold of a bundle anew."""


@app.command(epilog=EPILOG)
def lens(pictures: Pictures, out: Out, board: BoardOption = None, pitch_mm: Pitch = None) -> None:
    """Measure how the lens bends lines, on 5 or more pictures of a checkerboard.

    Show the board in the middle, in every corner, and tilted by 10 to 30 degrees.
    """
    setup_logging("error")
    from edge.geometry.place_measurement import measured_lens, read_sections

    read_sections(out)
    _finish(out, measured_lens(pictures, _inner(board), pitch_mm or 1.0, _today()))
    say_next(
        "edge-calibrate", "rectify", "PICTURE", "--board", board, "--pitch-mm", pitch_mm or "MM",
        "--out", out,
    )  # fmt: skip


@app.command(epilog=EPILOG)
def rectify(
    picture: Picture,
    out: Out,
    board: BoardOption = None,
    pitch_mm: Pitch = None,
    points: Annotated[
        str | None,
        typer.Option(help="instead of a board: the corners of a rectangle in the frame, clockwise "
                     "from the top left, as x,y,x,y,x,y,x,y"),
    ] = None,
    rectangle_mm: Annotated[
        str | None, typer.Option(help="size of the rectangle of --points, such as 80x60")
    ] = None,
) -> None:  # fmt: skip
    """See the plane of the parts from above, by a picture of a checkerboard that lies on it.

    The scale of the rectified view is measured with it. Measure the lens first.
    """
    setup_logging("error")
    from edge.geometry import place_measurement as measure
    from edge.geometry.board_pictures import read_frame
    from edge.geometry.frame_unfit import size_of

    before = measure.read_sections(out)
    if (points is None) == (board is None):
        raise ConfigError("expected --board with --pitch-mm, or --points with --rectangle-mm")
    if points is None:
        pitch = _given("--pitch-mm", pitch_mm)
        found = measure.measured_rectification(picture, _inner(board), pitch, before, _today())
    else:
        import numpy as np

        corners = np.array(_numbers("--points", points, 8)).reshape(4, 2)
        rectangle = _size("--rectangle-mm", _given("--rectangle-mm", rectangle_mm))
        frame_wh = size_of(read_frame(picture))
        found = measure.rectification_by_points(corners, rectangle, before, frame_wh, _today())
    _finish(out, found)
    _say_check()


@app.command(epilog=EPILOG)
def scale(
    pictures: Pictures,
    out: Out,
    board: BoardOption = None,
    pitch_mm: Pitch = None,
    pitch_uncertainty_mm: Annotated[
        float, typer.Option(min=0, help="expanded uncertainty (k = 2) of --pitch-mm")
    ] = 0.0,
    length_mm: Annotated[
        float | None, typer.Option(min=1e-6, max=1e6, help="instead of a board: a known length")
    ] = None,
    between: Annotated[
        str | None, typer.Option(help="its two ends in pixels of the picture, as x,y,x,y")
    ] = None,
) -> None:
    """Measure mm per pixel, on a checkerboard or a known length that lies where parts will lie.

    The camera must look straight down, or the place be rectified first.
    """
    setup_logging("error")
    from edge.geometry import place_measurement as measure

    before = measure.read_sections(out)
    if (length_mm is None) == (board is None):
        raise ConfigError("expected --board with --pitch-mm, or --length-mm with --between")
    if length_mm is None:
        pitch = _given("--pitch-mm", pitch_mm)
        found = measure.measured_scale(
            pictures, _inner(board), pitch, pitch_uncertainty_mm, before, _today()
        )
    else:
        import numpy as np

        if len(pictures) != 1:
            raise ConfigError(f"expected one picture with --length-mm, got {len(pictures)}")
        ends = np.array(_numbers("--between", _given("--between", between), 4)).reshape(2, 2)
        found = measure.scale_between(pictures[0], ends, length_mm, before, _today())
    _finish(out, found)
    _say_check()


@app.command(epilog=EPILOG)
def align(
    picture: Picture,
    box: Annotated[
        str, typer.Option(help="x,y,width,height of the template in the view", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(help="geometry file for edge-train --geometry; its other sections stay",
                     show_default=False),
    ],
    place: Annotated[
        Path | None, typer.Option(help="place file of the camera that took the picture")
    ] = None,
    max_shift_px: Annotated[
        float | None, typer.Option(min=1, help="how far parts move; default anywhere in view")
    ] = None,
    max_angle_deg: Annotated[
        float, typer.Option(min=0, max=180, help="how far parts turn, to either side")
    ] = 10.0,
    min_score: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="correlation below which no part is found")
    ] = 0.7,
) -> None:  # fmt: skip
    """Teach a template: a box of a good part's picture by which parts are aligned.

    The box lies in the picture as the place and what the geometry file says before alignment (lens,
    rectification, rotation) make it.
    """
    setup_logging("error")
    from edge.errors import DataError
    from edge.geometry.board_pictures import read_frame
    from edge.geometry.document_file import write_sections
    from edge.geometry.geometry import Geometry, read_geometry
    from edge.geometry.place import read_place
    from edge.geometry.teaching import teach_alignment
    from edge.geometry.view_transform import ViewTransform

    x, y, width, height = (round(value) for value in _numbers("--box", box, 4))
    whole = read_geometry(out) if out.exists() else Geometry()
    before = Geometry(lens=whole.lens, rectification=whole.rectification, rotate=whole.rotate)
    transform = ViewTransform(before, read_place(place).place if place else None)
    frame = read_frame(picture)
    try:
        taught = teach_alignment(
            transform.view(frame).pixels_bgr, (x, y, width, height),
            max_shift_px=max_shift_px, max_angle_deg=max_angle_deg, min_score=min_score,
        )  # fmt: skip
    except ValueError as error:
        raise DataError(f"{picture}: {error}") from error
    write_sections(out, {"alignment": taught})
    say(f"alignment: template of {width}x{height} px, found again when moved; {out}")
    say_next("edge-train", "--data", "DATA", "--geometry", out, "--out", "RUN")


@app.command(epilog=EPILOG)
def threshold(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", show_default=False)],
    out: Annotated[Path, typer.Option(help="new folder for the new version", show_default=False)],
    rate: Annotated[str | None, typer.Option(help="false-reject rate, such as 1%")] = None,
    views: Annotated[
        bool,
        typer.Option("--views", help="one for each view; the rate is that of parts by all views"),
    ] = False,
    type_threshold: Annotated[
        str | None,
        typer.Option(metavar="TYPE=SHARE", help="instead of --rate: a higher one for a harmless "
                     "type, of whose labelled parts at most this share rejects, such as dust=5%"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="folder of good parts, and maybe labelled defects")
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="raw archive of a station")] = None,
    camera: Annotated[str | None, typer.Option(help="camera to show good parts to")] = None,
    since: Annotated[str | None, typer.Option(help="--archive: 2026-05-01, UTC")] = None,
    until: Annotated[str | None, typer.Option(help="--archive: before this moment")] = None,
    all_good: Annotated[
        bool,
        typer.Option("--all-good", help="--archive: parts of unknown truth were good; a verdict "
                     "is no truth"),
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="--camera: parts; default twice what the rate needs")
    ] = None,
    product: Annotated[
        str | None, typer.Option(help="whose threshold, of a bundle that serves several products")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="part that does not count")
    ] = None,
    by: Annotated[str | None, typer.Option(help="who; default user and computer")] = None,
    version: Annotated[str | None, typer.Option(help="default one more than before")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="also write the histogram as a page")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0 = physical cores")] = 0,
) -> None:  # fmt: skip
    """Set a threshold of a bundle anew, by parts that training has not seen.

    That of all parts or a product (--rate), of views (--rate --views), or of a harmless defect type
    (--type-threshold). Refuses parts whose days, cameras or order differ so much that the rate
    would not hold. Exit codes: 0 done, 2 usage, 3 bundle, 5 camera, 10 the parts support no such
    threshold.
    """
    setup_logging("warning")
    from edge.cli.calibrate_threshold import recalibrate
    from edge.cli.calibrate_type import recalibrate_type
    from edge.cli.calibrate_views import recalibrate_views
    from edge.cli.calibration_parts import Options

    if (rate is None) == (type_threshold is None):
        raise ConfigError("expected one of --rate and --type-threshold")
    chosen = recalibrate_views if views else recalibrate
    if type_threshold is not None:
        chosen = recalibrate_type
    chosen(
        Options(
            bundle, out, rate, views=views, type_threshold=type_threshold, data=data,
            archive=archive, camera=camera, since=since, until=until,
            all_good=all_good, count=count, product=product, leave_out=tuple(leave_out or ()),
            by=by, version=version, report=report, threads=threads,
        )
    )  # fmt: skip


def main() -> None:
    """Entry point."""
    run(app)


def _finish(out: Path, found: Measured) -> None:
    """Write what was measured, and say what it is worth and what it makes stale."""
    from edge.geometry.document_file import write_sections
    from edge.geometry.place_measurement import read_sections

    write_sections(out, found.sections)
    for line in found.lines:
        say(line)
    after: PlaceSections = read_sections(out)
    for problem in after.problems():
        say(f"{out}: {problem}; a station refuses the file until then")


def _say_check() -> None:
    say_next("edge-infer", "STATION.yaml", "--check")


def _today() -> date:
    return datetime.now(timezone.utc).date()


def _inner(board: str | None) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})\s*[xX]\s*(\d{1,3})", board or "")
    inner = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not 3 <= min(inner) <= max(inner) <= 100:
        raise ConfigError(
            f"--board: expected inner corners such as 9x6, from 3x3 to 100x100, got {board}"
        )
    return inner


def _size(option: str, text: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d+\.?\d*)\s*[xX]\s*(\d+\.?\d*)", text)
    width, height = (float(match.group(1)), float(match.group(2))) if match else (0.0, 0.0)
    if min(width, height) <= 0:
        raise ConfigError(f"{option}: expected width and height such as 80x60, got {text}")
    return width, height


def _numbers(option: str, text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in re.split(r"[,\s]+", text.strip())]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise ConfigError(
            f"{option}: expected {count} numbers with commas between them, got {text}"
        )
    return values


def _given(option: str, value: Given | None) -> Given:
    if value is None:
        raise ConfigError(f"{option}: missing; give it with the other options of this measurement")
    return value
