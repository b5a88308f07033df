"""Pictures of the archive, sent to those who ask for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, cast

from edge.archive.layout import PICTURE, frame_folder, frame_stem, parse_moment, with_suffix
from edge.drop_counts import DropCounts
from edge.messages.command import Answer
from edge.messages.identity import Identity
from edge.messages.picture import picture_payload
from edge.messages.state_board import StateBoard
from edge.outputs.picture_archive import SUFFIX
from edge.outputs.queued_sink import QueuedSink
from edge.outputs.thumbnails import shrunk, to_jpeg
from edge.picture_file import decode_picture, read_bytes
from edge.result import VERDICTS

QUEUE_SIZE = 4
LONGEST_SIDE_PX = 1600
QUALITY = 85
FORMS = ("view", "raw")
# As the station file names cameras; a name with a slash would lead out of the archive.
_CAMERA = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FRAME_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
Form = Literal["view", "raw"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which picture somebody asks for: what a result says of its frame.

    Attributes:
        form: `view`, annotated, or `raw`, as taken.
        camera, frame_id, captured_at, verdict: as in the result.
    """

    form: Form
    camera: str
    frame_id: int
    captured_at: datetime
    verdict: str


def read_wanted(args: Mapping[str, str]) -> Wanted:
    """Read the arguments of the command `get_picture`.

    Raises:
        ValueError: in one line.
    """
    form, verdict = args.get("form", "view"), args["result"]
    if form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form}")
    if verdict not in VERDICTS:
        raise ValueError(f"result: expected one of {', '.join(VERDICTS)}, got {verdict}")
    if not _CAMERA.fullmatch(args["camera"]):
        raise ValueError(f"camera: expected the name of a camera, got {args['camera']}")
    if not _FRAME_ID.fullmatch(args["frame_id"]):
        raise ValueError(f"frame_id: expected a whole number, got {args['frame_id']}")
    captured_at = parse_moment(args["capture"])
    return Wanted(cast("Form", form), args["camera"], int(args["frame_id"]), captured_at, verdict)


class ArchivedPictures(QueuedSink):
    """Reads pictures in a thread of its own and publishes them.

    Args:
        folder: of the archive.
        identity: who speaks.
        states: publishes the pictures.
        drops: counts (pictures, overrun) and (pictures, stopped).
        finish: takes the id of the command and its outcome.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        states: StateBoard,
        drops: DropCounts,
        finish: Callable[[str, Answer], None],
    ):
        super().__init__("pictures", drops, size=QUEUE_SIZE)
        self._folder = folder
        self._identity = identity
        self._states = states
        self._finish = finish

    def send(self, wanted: Wanted, cmd_id: str) -> Answer:
        """Answer a request at once; the picture or the reason why there is none follows."""
        if not self.wait_for_room(0.0):
            return Answer("rejected", "busy", "other pictures are on their way; ask again later")
        self.later(partial(self._publish, wanted, cmd_id))
        return Answer("accepted", "ok", "the picture is read from the archive")

    def path_of(self, wanted: Wanted) -> Path:
        """Return where the archive keeps a picture, if it has kept it."""
        stem = frame_stem(wanted.captured_at, wanted.camera, wanted.frame_id, wanted.verdict)
        if wanted.form == "view":
            return self._folder / f"{stem}{SUFFIX}"
        folder = frame_folder(self._folder, wanted.captured_at, wanted.verdict)
        return with_suffix(folder / stem, PICTURE)

    def _publish(self, wanted: Wanted, cmd_id: str) -> None:
        path = self.path_of(wanted)
        if not path.is_file():
            kept = "its settings did not keep it, or it was deleted for newer ones"
            detail = f"the archive has no {path.name}; {kept}"
            self._finish(cmd_id, Answer("failed", "unknown_picture", detail))
            return
        try:
            pixels = decode_picture(read_bytes(path))
        except ValueError as error:
            detail = f"{path.name}: {error}"[:300]
            self._finish(cmd_id, Answer("failed", "unknown_picture", detail))
            return
        self._states.show(
            picture_payload(
                self._identity,
                wanted.form,
                to_jpeg(shrunk(pixels, LONGEST_SIDE_PX), QUALITY),
                camera=wanted.camera,
                frame_id=wanted.frame_id,
                captured_at=wanted.captured_at,
                verdict=wanted.verdict,
                size_wh=(pixels.shape[1], pixels.shape[0]),
                cmd_id=cmd_id,
            )
        )
        self._finish(cmd_id, Answer("done", "ok", f"{path.name} is published"))
