"""Annotated pictures on disk, written beside the line and bounded in size."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config.station import ArchiveSettings
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.frame import Frame
from edge.inspection.overlay import draw_overlay
from edge.result import Inspection, Verdict

log = logging.getLogger(__name__)
QUEUE_SIZE = 16
SUFFIX = ".webp"
QUALITY = 85

Job = tuple[Frame, NDArray[np.float32] | None, Inspection]


class PictureArchive:
    """Writes overlays in a thread of its own; when the disk is slow, pictures are dropped, counted.

    Args:
        settings: folder, which parts to keep, and how many bytes.
        drops: counts (archive, overrun) and (archive, disk).
        wait: let `put` wait for room instead of dropping, for sources that can wait.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, settings: ArchiveSettings, drops: DropCounts, *, wait: bool):
        self._settings = settings
        self._drops = drops
        self._wait = wait
        self._queue: queue.Queue[Job | None] = queue.Queue(QUEUE_SIZE)
        self._is_failing = False
        try:
            settings.path.mkdir(parents=True, exist_ok=True)
            kept = sorted(settings.path.glob(f"*{SUFFIX}"), key=lambda path: path.name)
            self._files = deque((path, path.stat().st_size) for path in kept)
        except OSError as error:
            raise ConfigError(
                f"archive.path: {settings.path} cannot be written: {error.strerror}; choose "
                "another folder or free it"
            ) from error
        self._bytes = sum(size for _, size in self._files)
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(
        self, frame: Frame, anomaly_map: NDArray[np.float32] | None, inspection: Inspection
    ) -> None:
        """Hand over a part; the map is copied, since the engine owns it."""
        # What a veto let pass is kept like a reject: someone must be able to look at it.
        is_pass = inspection.verdict is Verdict.PASS and not inspection.regions
        if frame.pixels_bgr is None or (is_pass and self._settings.keep == "rejects"):
            return
        copied = None if anomaly_map is None else anomaly_map.copy()
        try:
            self._queue.put((frame, copied, inspection), timeout=5.0 if self._wait else 0.001)
        except queue.Full:
            self._drops.add("archive", "overrun")

    def stop(self, timeout_s: float) -> bool:
        """Write what waits and end; False when that took too long."""
        if self._thread.ident is None:
            return True
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            frame, anomaly_map, inspection = job
            try:
                self._write(frame, anomaly_map, inspection)
            except OSError as error:
                self._drops.add("archive", "disk")
                if not self._is_failing:
                    log.error("archive cannot write path=%s: %s", self._settings.path, error)  # noqa: TRY400
                self._is_failing = True
            else:
                self._is_failing = False

    def _write(
        self, frame: Frame, anomaly_map: NDArray[np.float32] | None, inspection: Inspection
    ) -> None:
        assert frame.pixels_bgr is not None  # noqa: S101 - `put` let only pictures in
        picture = draw_overlay(frame.pixels_bgr, anomaly_map, inspection)
        _, data = cv2.imencode(SUFFIX, picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        moment = frame.captured_at.strftime("%Y%m%dT%H%M%S.%f")[:-3]
        name = f"{moment}-{frame.camera}-{frame.frame_id:06d}-{inspection.verdict.value}{SUFFIX}"
        path = self._settings.path / name
        path.write_bytes(data.tobytes())
        self._files.append((path, len(data)))
        self._bytes += len(data)
        while self._bytes > self._settings.max_bytes and len(self._files) > 1:
            oldest, size = self._files.popleft()
            oldest.unlink(missing_ok=True)
            self._bytes -= size
