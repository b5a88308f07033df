"""From mailbox to verdict: which frame is inspected next, by which recipe and for which job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.inspection.inspector import Inspected, without_score
from edge.messages.identity import ModelInfo
from edge.outputs.dispatcher import ResultDispatcher
from edge.outputs.sink import Decided
from edge.result import Reason, Verdict
from edge.station.acquisition.missing import missing_frame
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.jobs import Job, JobControl
from edge.station.judging import judge_part
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import LoadedRecipe
from edge.triggers.queue import TriggerQueue

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
        triggers: makes sure that each trigger has one result; None where every frame is a part.
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
        triggers: TriggerQueue | None = None,
    ):
        self._mailbox = mailbox
        self._changeover = changeover
        self._jobs = jobs
        self._drops = drops
        self._results = results
        self._is_live = is_live
        self._triggers = triggers
        # Of the newest recipe, by camera, for parts without one.
        self._models: Mapping[str, ModelInfo] | None = None

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
            self._unwanted(frame)
            return True
        self._models = prepared.models(frame.camera)
        frame = job.named(frame)
        self._deliver(frame, partial(_inspect, prepared), prepared, job)
        return True

    def refused(self, frame: Frame) -> None:
        """Give the part of a frame that found the queue full its result all the same."""
        prepared, job = self._changeover.current, self._jobs.continuous
        if prepared is None or job is None:
            self._unwanted(frame)
            return
        waiting = len(self._mailbox)
        if not frame.is_missing:
            log.warning(
                "frame refused reason=overrun camera=%s sequence=%d waiting=%d",
                frame.camera, frame.frame_id, waiting,
            )  # fmt: skip
        detail = f"{waiting} frames were waiting; the line is faster than the inspection"
        judge = partial(_unjudged, Verdict.UNDECIDED, Reason.OVERRUN, detail)
        self._deliver(frame, judge, prepared, job)

    def dropped(self, frames: Sequence[Frame]) -> None:
        """Give the triggers of frames that an abort threw away their results."""
        for frame in frames:
            self._give_up(frame, "the job was aborted before the part was judged")

    def give_up_triggers(self, camera: str, why: str) -> None:
        """Give every trigger that has no result yet its one; whatever comes later is void."""
        if self._triggers is not None:
            for trigger in self._triggers.open:
                self._give_up(missing_frame(camera, 0, trigger, why), why)

    def _unwanted(self, frame: Frame) -> None:
        """Drop a frame that no job wants; its trigger was taken while one did."""
        self._drops.add("line", "stopped")
        self._give_up(frame, "the station was stopped before the part was judged")

    def _give_up(self, frame: Frame, why: str) -> None:
        prepared = self._changeover.current
        models = prepared.models(frame.camera) if prepared is not None else self._models
        if frame.trigger is None or models is None:
            return
        without = replace(frame, is_missing=False)  # what is missing is the judgement
        judge = partial(_unjudged, Verdict.ERROR, Reason.NOT_JUDGED, why)
        self._send(replace(judge_part(without, judge, models), triggered_at=frame.trigger.at))

    def _may_take(self) -> bool:
        """Wait until a job wants a frame that waits in a file, and every output has room for it."""
        return self._results.wait_for_room(TAKE_S) and self._jobs.wait(TAKE_S)

    def _deliver(
        self, frame: Frame, judge: Callable[[Frame], Inspected], prepared: LoadedRecipe, job: Job
    ) -> None:
        """Judge a part and give its result to the outputs, unless its job was aborted meanwhile."""
        decided = judge_part(frame, judge, prepared.models(frame.camera))
        triggered_at = frame.trigger.at if frame.trigger is not None else job.triggered_at
        decided = replace(decided, job_id=job.id, triggered_at=triggered_at)
        with self._jobs.delivery(job) as is_wanted:
            if is_wanted:
                self._send(decided)
        if not is_wanted:
            self._drops.add("line", "aborted")
            self._give_up(frame, "the job was aborted before the part was judged")

    def _send(self, decided: Decided) -> None:
        """Give a result to the outputs, unless its trigger has one."""
        trigger = decided.frame.trigger
        if trigger is not None and self._triggers is not None:
            if not self._triggers.settle(trigger):
                return
            if trigger.is_late(time.monotonic_ns()):
                self._triggers.count("late")
                decided = replace(decided, is_late=True)
        self._results.decided(decided)


def _inspect(prepared: LoadedRecipe, frame: Frame) -> Inspected:
    if frame.is_missing:
        return _no_frame(frame)
    if frame.is_repeat:
        return _unjudged(Verdict.UNDECIDED, Reason.REPEATED_FRAME, _REPEATED, frame)
    return prepared.of(frame.camera).inspector.inspect(frame)


def _unjudged(verdict: Verdict, reason: Reason, detail: str, frame: Frame) -> Inspected:
    if frame.is_missing:
        return _no_frame(frame)
    return Inspected(without_score(frame, verdict, reason, detail), None)


def _no_frame(frame: Frame) -> Inspected:
    return Inspected(without_score(frame, Verdict.ERROR, Reason.NO_FRAME, frame.fault or ""), None)
