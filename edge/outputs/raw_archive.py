"""Raw frames on disk, without loss: to judge again, to look at, to learn from."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.archive.layout import PICTURE, RECORD, frame_folder, frame_stem, with_suffix
from edge.archive.record import SCHEMA
from edge.archive.retention import Retention
from edge.atomic_file import write_bytes
from edge.cameras.description import CameraDescription
from edge.config.archive import ArchiveSettings
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import ConfigError, WriteError
from edge.grey_picture import plane_of
from edge.messages.identity import rfc3339
from edge.messages.payload import Payload, encode
from edge.messages.state_board import StateBoard
from edge.outputs.queued_sink import HUNG_S, QueuedSink, Task
from edge.outputs.sink import Decided
from edge.redaction import redacted_address
from edge.result import Inspection, Reason, Verdict

log = logging.getLogger(__name__)
ALERT = "archive_failing"
# Frames in memory: those that wait for the disk, and those whose result is still being stored.
QUEUE_SIZE = 32
_CHORES = 2  # tasks without a frame
# Old frames go when new ones come, and at least so often.
PRUNE_S = 600.0
MODE = 0o700
# Camera, frame id and moment of the capture, as payloads say them.
_View = tuple[str, int, str]


class RawArchive(QueuedSink):
    """Writes frames as PNG, each with a record of its result, in a thread of its own.

    A frame waits for its result to be stored, so that the record has the number of the result. When
    the disk is slow, frames are dropped and counted; when it is full, one alert says so, and the
    archive goes on once there is room. Frames that came from an archive are not archived again.

    Args:
        config: the station.
        settings: of the archive, with `raw`.
        drops: counts (raw_archive, REASON): `overrun`, `disk`, `stopped`, or `unstored`: the outbox
            gave the result up.
        states: publishes the alert.
        describe_camera: tells what a camera, by its name, says of itself, if it does.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(
        self,
        config: StationConfig,
        settings: ArchiveSettings,
        drops: DropCounts,
        states: StateBoard,
        describe_camera: Callable[[str], CameraDescription | None] = lambda _: None,
    ):
        super().__init__("raw_archive", drops, size=QUEUE_SIZE + _CHORES)
        assert settings.raw is not None  # noqa: S101 - who asks for this archive has set it
        self._raw, self._root = settings.raw, settings.path
        self._config = config
        self._states = states
        self._describe_camera = describe_camera
        self._awaited: OrderedDict[_View, Decided] = OrderedDict()
        self._retention = Retention(self._root, self._raw.max_bytes, self._raw.max_age_s)
        self._is_failing = False
        self._prune_s = monotonic() + PRUNE_S
        self._committed_s = monotonic()
        try:
            self._root.mkdir(mode=MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"archive.path: {self._root} cannot be written: {error.strerror}; choose another "
                "folder or free it"
            ) from error

    def start(self) -> None:
        """Begin; the first task is to count what is there."""
        self.later(partial(self._tried, self._take_stock))
        super().start()

    def decided(self, decided: Decided) -> None:
        """Keep hold of a frame that may be archived, until its result is stored."""
        frame, inspection = decided.frame, decided.inspection
        if monotonic() >= self._prune_s:
            self._prune_s = monotonic() + PRUNE_S
            self.later(partial(self._tried, self._prune))
        if frame.earlier is not None or not _pictures(decided):
            return
        if inspection.reason is Reason.OVERRUN or not self._may_keep(inspection):
            return  # encoding pictures would slow a station that is too slow already
        with self._changed:
            if len(self._tasks) + len(self._awaited) >= QUEUE_SIZE:
                self._drops.add(self.name, "overrun", len(_pictures(decided)))
            else:
                moment = rfc3339(inspection.captured_at)
                self._awaited[inspection.camera, inspection.frame_id, moment] = decided

    def committed(self, payload: Payload) -> None:
        """Queue the frame of a stored result, if it is chosen."""
        moment = payload["times"]["capture"]
        views = [(view["camera"], view["frame_id"], moment) for view in payload["views"]]
        decided = self._taken(views)
        if decided is not None and self._is_chosen(decided.inspection, payload):
            for view in _pictures(decided):
                result = _result_of(view, payload) if decided.views else payload
                self.later(partial(self._tried, partial(self._write, view, result)))

    def _taken(self, views: list[_View]) -> Decided | None:
        """Remove and return the part that is awaited for these views."""
        with self._changed:
            self._committed_s = monotonic()
            if not any(view in self._awaited for view in views):
                return None
            # Results are stored in the order of their verdicts: those before it were given up.
            unstored = 0
            key, decided = self._awaited.popitem(last=False)
            while key not in views:
                unstored += 1
                key, decided = self._awaited.popitem(last=False)
            if unstored:
                self._drops.add(self.name, "unstored", unstored)
            self._changed.notify_all()
            return decided

    def stop(self, timeout_s: float) -> bool:
        """Write what waits; frames whose result was not stored are counted."""
        with self._changed:
            left = len(self._awaited)
            self._awaited.clear()
        if left:
            self._drops.add(self.name, "stopped", left)
        return super().stop(timeout_s)

    def _has_room(self) -> bool:
        waiting = len(self._tasks) + len(self._awaited)
        # An outbox that has hung is not waited for, either.
        has_hung = bool(self._awaited) and monotonic() - self._committed_s > HUNG_S
        return super()._has_room() and (2 * waiting <= QUEUE_SIZE or has_hung)

    def _may_keep(self, inspection: Inspection) -> bool:
        """Tell whether a part is chosen, or may be once its result has a number."""
        share = self._share(inspection)
        if inspection.part is None:
            return share > 0
        return is_in_share(inspection.part.id, share)

    def _is_chosen(self, inspection: Inspection, payload: Payload) -> bool:
        if inspection.part is not None:
            return True
        return is_in_share(str(payload["seq"]), self._share(inspection))

    def _share(self, inspection: Inspection) -> float:
        # What a veto let pass is kept like a reject: someone must be able to look at it.
        is_vetoed = inspection.verdict is Verdict.PASS and inspection.regions
        verdict = Verdict.FAIL if is_vetoed else inspection.verdict
        return self._raw.share_of(verdict.value)

    def _tried(self, task: Task) -> None:
        """Do something with the disk; tell once that it fails, and once that it works again."""
        try:
            task()
        except (OSError, WriteError) as error:
            self._drops.add(self.name, "disk")
            reason = error.reason if isinstance(error, WriteError) else error.strerror or str(error)
            if not self._is_failing:
                log.error("raw archive cannot write path=%s: %s", self._root, reason)  # noqa: TRY400
                detail = f"raw frames are not kept: {self._root}: {reason}; free the disk"
                self._states.raise_alert(ALERT, "warning", detail)
            self._is_failing = True
        else:
            if self._is_failing:
                log.warning("raw archive writes again path=%s", self._root)
                self._states.clear_alert(ALERT)
            self._is_failing = False

    def _take_stock(self) -> None:
        self._retention.count()
        self._prune()

    def _prune(self, newest: Path | None = None) -> None:
        self._retention.prune(datetime.now(timezone.utc), newest)

    def _write(self, decided: Decided, payload: Payload) -> None:
        frame, inspection = decided.frame, decided.inspection
        assert frame.pixels_bgr is not None  # noqa: S101 - `decided` let only pictures in
        free = shutil.disk_usage(self._root).free
        if free < self._raw.min_free_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, min_free_bytes is more")
        verdict = inspection.verdict.value
        folder = frame_folder(self._root, frame.captured_at, verdict)
        for made in (folder.parent, folder):
            made.mkdir(mode=MODE, exist_ok=True)
        path = folder / frame_stem(frame.captured_at, frame.camera, frame.frame_id, verdict)
        picture = encode_frame(frame.pixels_bgr)
        record = encode(self._record(decided, payload, path.name, picture)).encode()
        # The record comes last: a frame that has one is whole.
        write_bytes(with_suffix(path, PICTURE), picture, is_private=True)
        write_bytes(with_suffix(path, RECORD), record, is_private=True)
        self._retention.added(len(picture) + len(record))
        self._prune(path)

    def _record(self, decided: Decided, payload: Payload, name: str, picture: bytes) -> Payload:
        frame = decided.frame
        width, height = frame.size_wh
        description = self._describe_camera(frame.camera)
        return {
            "schema": SCHEMA,
            "picture": {
                "file": name + PICTURE,
                "sha256": hashlib.sha256(picture).hexdigest(),
                "width": width,
                "height": height,
            },
            "captured_at": frame.captured_at.astimezone(timezone.utc).isoformat(),
            **_station(self._config, frame.camera),
            "camera_says": description.as_dict() if description else None,
            "acquisition": asdict(frame.acquisition) if frame.acquisition else None,
            "result": payload,
        }


def is_in_share(key: str, share: float) -> bool:
    """Choose by a hash, which is the same everywhere: `share` of all keys, from 0 to 1."""
    digest = hashlib.sha256(key.encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def encode_frame(pixels_bgr: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 BGR as PNG, quickly; a grey picture takes one channel."""
    grey = plane_of(pixels_bgr)
    if grey is None:
        blue, green, red = cv2.split(pixels_bgr)
        if np.array_equal(blue, green) and np.array_equal(green, red):
            grey = blue
    picture = pixels_bgr if grey is None else grey
    _, data = cv2.imencode(PICTURE, picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()


def _pictures(decided: Decided) -> list[Decided]:
    """The views of a part that have a picture."""
    views = decided.views or (decided,)
    return [view for view in views if view.frame.pixels_bgr is not None]


def _result_of(view: Decided, payload: Payload) -> Payload:
    """The result of a part with what one view says in front, so that labels are the view's own."""
    camera = view.inspection.camera
    own = next(each for each in payload["views"] if each["camera"] == camera)
    names = (
        "product_id", "recipe", "model", "result", "evaluation", "reason", "score", "threshold",
        "p_value", "defects", "detail", "threshold_type",
    )  # fmt: skip
    # What only some views say must not be said of the others.
    own_only = ("detail", "threshold_type")
    part = {name: value for name, value in payload.items() if name not in own_only}
    said = {name: own[name] for name in names if name in own}
    return {**part, **said, "view": camera, "part_result": payload["result"]}


def _station(config: StationConfig, name: str) -> Payload:
    """What is the same for every frame of a camera: settings, and what the camera was told."""
    cameras = {camera.name: camera for camera in config.cameras}
    camera = cameras.get(name, config.camera)
    return {
        "camera": {
            "name": camera.name,
            "source": redacted_address(camera.source),
            "features": dict(camera.features),
        },
        "settings": {
            "revision": config.revision,
            "decision": json.loads(config.decision.model_dump_json()),
        },
    }
