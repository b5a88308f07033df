"""From mailbox to verdict: which frame is judged next, by which recipe, and for which job."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.inspection.inspector import without_score
from edge.outputs.picture_archive import PictureArchive
from edge.result import Inspection, Reason, Verdict
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.jobs import Job, JobControl
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import LoadedRecipe

log = logging.getLogger(__name__)
TAKE_S = 0.5
Conclude = Callable[[Inspection, LoadedRecipe, Job], None]


class InspectionLoop:
    """Judges the frames that the job under way wants, and counts the others as drops.

    `step` belongs to one thread; `refused` may be called from any.

    Args:
        mailbox: where frames come from.
        changeover: knows the recipe.
        execution: knows the job.
        drops: counts (line, stopped) and (line, aborted).
        conclude: takes every inspection with its recipe and job; returns at once.
        archive: gets the pictures, if they are kept.
        is_live: frames are lost unless taken; those of files wait while none is wanted.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        changeover: Changeover,
        execution: JobControl,
        drops: DropCounts,
        conclude: Conclude,
        archive: PictureArchive | None,
        *,
        is_live: bool,
    ):
        self._mailbox = mailbox
        self._changeover = changeover
        self._execution = execution
        self._drops = drops
        self._conclude = conclude
        self._archive = archive
        self._is_live = is_live

    def step(self) -> bool:
        """Judge the next frame, or wait for it a while; False when none will ever come.

        Raises:
            EngineError: too many inferences failed in a row.
        """
        is_wanted = self._is_live or self._execution.wait(TAKE_S)
        frame = self._mailbox.take(TAKE_S) if is_wanted else None
        prepared = self._changeover.turn(frame.captured_ns if frame else None)
        if frame is None:
            return not self._mailbox.closed
        job = self._execution.admit(frame, is_live=self._is_live) if prepared else None
        if prepared is None or job is None:
            self._drops.add("line", "stopped")
            return True
        frame = job.named(frame)
        inspection, anomaly_map = prepared.inspector.inspect(frame)
        if self._hand_over(inspection, prepared, job) and self._archive is not None:
            self._archive.put(frame, anomaly_map, inspection)
        return True

    def refused(self, frame: Frame) -> None:
        """Give the part of a frame that found the queue full its result all the same."""
        prepared, job = self._changeover.current, self._execution.continuous
        if prepared is None or job is None:
            self._drops.add("line", "stopped")
            return
        waiting = len(self._mailbox)
        log.warning(
            "frame refused reason=overrun camera=%s sequence=%d waiting=%d",
            frame.camera, frame.frame_id, waiting,
        )  # fmt: skip
        detail = f"{waiting} frames were waiting; the line is faster than the inspection"
        inspection = without_score(frame, Verdict.UNDECIDED, Reason.OVERRUN, detail)
        self._hand_over(inspection, prepared, job)

    def _hand_over(self, inspection: Inspection, prepared: LoadedRecipe, job: Job) -> bool:
        """Give an inspection away, unless its job was aborted meanwhile."""
        with self._execution.delivery(job) as is_wanted:
            if is_wanted:
                self._conclude(inspection, prepared, job)
        if not is_wanted:
            self._drops.add("line", "aborted")
        return is_wanted
