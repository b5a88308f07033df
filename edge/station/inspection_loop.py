"""From mailbox to verdict: which frame is inspected next, by which recipe and for which job."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.inspection.inspector import without_score
from edge.outputs.dispatcher import ResultDispatcher
from edge.outputs.sink import Decided
from edge.result import Inspection, Reason, Verdict
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.jobs import Job, JobControl
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import LoadedRecipe

log = logging.getLogger(__name__)
TAKE_S = 0.5
_REPEATED = "the camera has delivered this very picture before; check the camera"


class InspectionLoop:
    """Inspects the frames that the job under way wants, and counts the others as drops.

    `step` belongs to one thread; `refused` may be called from any.

    Args:
        mailbox: where frames come from.
        changeover: knows the recipe.
        jobs: knows the job.
        drops: counts (line, stopped) and (line, aborted).
        results: takes every result.
        is_live: frames are lost unless taken. Those of files wait while no job wants them, and for
            outputs that are slow.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        changeover: Changeover,
        jobs: JobControl,
        drops: DropCounts,
        results: ResultDispatcher,
        *,
        is_live: bool,
    ):
        self._mailbox = mailbox
        self._changeover = changeover
        self._jobs = jobs
        self._drops = drops
        self._results = results
        self._is_live = is_live

    def step(self) -> bool:
        """Inspect the next frame, or wait for it a while; False when none will ever come.

        Raises:
            EngineError: too many inferences failed in a row.
        """
        frame = self._mailbox.take(TAKE_S) if self._is_live or self._may_take() else None
        prepared = self._changeover.recipe_for(frame.captured_ns if frame else None)
        if frame is None:
            return not self._mailbox.closed
        job = self._jobs.admit(frame, is_live=self._is_live) if prepared else None
        if prepared is None or job is None:
            self._drops.add("line", "stopped")
            return True
        frame = job.named(frame)
        if frame.is_repeat:
            inspection = without_score(frame, Verdict.UNDECIDED, Reason.REPEATED_FRAME, _REPEATED)
            self._deliver(frame, inspection, None, prepared, job)
            return True
        inspection, anomaly_map = prepared.inspector.inspect(frame)
        self._deliver(frame, inspection, anomaly_map, prepared, job)
        return True

    def refused(self, frame: Frame) -> None:
        """Give the part of a frame that found the queue full its result all the same."""
        prepared, job = self._changeover.current, self._jobs.continuous
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
        self._deliver(frame, inspection, None, prepared, job)

    def _may_take(self) -> bool:
        """Wait until a job wants a frame that waits in a file, and every output has room for it."""
        return self._results.wait_for_room(TAKE_S) and self._jobs.wait(TAKE_S)

    def _deliver(
        self,
        frame: Frame,
        inspection: Inspection,
        anomaly_map: NDArray[np.float32] | None,
        prepared: LoadedRecipe,
        job: Job,
    ) -> None:
        """Give a result to the outputs, unless its job was aborted meanwhile."""
        decided = Decided(inspection, frame, anomaly_map, prepared.model, job.id, job.triggered_at)
        with self._jobs.delivery(job) as is_wanted:
            if is_wanted:
                self._results.decided(decided)
        if not is_wanted:
            self._drops.add("line", "aborted")
