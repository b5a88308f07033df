"""Annotated pictures of parts on disk, bounded in size."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial

import cv2

from edge.archive.layout import frame_stem
from edge.config.archive import ArchiveSettings
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.inspection.overlay import draw_overlay
from edge.outputs.queued_sink import QueuedSink
from edge.outputs.sink import Decided
from edge.result import Inspection, Reason, Verdict

log = logging.getLogger(__name__)
QUEUE_SIZE = 16
SUFFIX = ".webp"
QUALITY = 85


class PictureArchive(QueuedSink):
    """Writes overlays in a thread of its own; when the disk is slow, pictures are dropped, counted.

    Args:
        settings: folder, which parts to keep, and how many bytes.
        drops: counts (archive, overrun), (archive, disk) and (archive, stopped).

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, settings: ArchiveSettings, drops: DropCounts):
        super().__init__("archive", drops, size=QUEUE_SIZE)
        self._settings = settings
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

    def decided(self, decided: Decided) -> None:
        """Queue the picture of a part that the settings keep, with all its views."""
        if not self._keeps(decided.inspection):
            return
        for view in decided.views or (decided,):
            if view.frame.pixels_bgr is not None:
                self.later(partial(self._save, view.kept()))

    def _keeps(self, inspection: Inspection) -> bool:
        if inspection.reason is Reason.OVERRUN:
            return False  # encoding pictures would slow a station that is too slow already
        # What a veto let pass is kept like a reject: someone must be able to look at it.
        is_pass = inspection.verdict is Verdict.PASS and not inspection.regions
        return self._settings.keep == "all" or not is_pass

    def _save(self, decided: Decided) -> None:
        try:
            self._write(decided)
        except OSError as error:
            self._drops.add("archive", "disk")
            if not self._is_failing:
                log.error("archive cannot write path=%s: %s", self._settings.path, error)  # noqa: TRY400
            self._is_failing = True
        else:
            self._is_failing = False

    def _write(self, decided: Decided) -> None:
        frame, inspection = decided.frame, decided.inspection
        assert frame.pixels_bgr is not None  # noqa: S101 - `decided` let only pictures in
        picture = draw_overlay(frame.pixels_bgr, decided.anomaly_map, inspection)
        _, data = cv2.imencode(SUFFIX, picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        verdict = inspection.verdict.value
        name = frame_stem(frame.captured_at, frame.camera, frame.frame_id, verdict)
        path = self._settings.path / f"{name}{SUFFIX}"
        path.write_bytes(data.tobytes())
        self._files.append((path, len(data)))
        self._bytes += len(data)
        while self._bytes > self._settings.max_bytes and len(self._files) > 1:
            oldest, size = self._files.popleft()
            oldest.unlink(missing_ok=True)
            self._bytes -= size
