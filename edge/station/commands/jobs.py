"""The state machine of jobs: which frames are inspected, and which results may still go out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Literal

from edge.drop_counts import DropCounts
from edge.frame import Frame, Part
from edge.messages.command import Answer
from edge.station.capture.mailbox import Mailbox

Mode = Literal["ready", "single_execution", "continuous_execution"]


@dataclass(slots=True, eq=False)
class Job:
    """A job run in the sense of OPC 40100-1: a continuous one, or one over a single part.

    Attributes:
        id: `cmd_id` of the command that began it; None for the run that begins with the process.
        part_id: identity of the single part, where the command gave one.
        triggered_at: when a single job began, UTC; None marks a continuous one.
        from_ns: live frames captured before (monotonic clock) do not belong to it.
        until_ns: a single job that has no frame by then has failed.
        aborts: how many aborts there had been when it began; another one ends it.
        has_result: a result of it has been delivered.
    """

    id: str | None = None
    part_id: str | None = None
    triggered_at: datetime | None = None
    from_ns: int = 0
    until_ns: float = math.inf
    aborts: int = 0
    has_result: bool = False

    @classmethod
    def single(cls, job_id: str, part_id: str | None, expires_at: datetime | None) -> Job:
        """Begin a job over the next part; void from `expires_at` on, if that is given."""
        moment, now_ns = datetime.now(timezone.utc), time.monotonic_ns()
        left_s = math.inf if expires_at is None else (expires_at - moment).total_seconds()
        until_ns = now_ns + left_s * 1e9
        return cls(job_id, part_id, moment, now_ns, until_ns)

    @property
    def is_single(self) -> bool:
        """It ends with its first part."""
        return self.triggered_at is not None

    def named(self, frame: Frame) -> Frame:
        """Give the frame's part the identity that the command brought."""
        if self.part_id is None:
            return frame
        label = frame.part.label if frame.part is not None else None
        return replace(frame, part=Part(self.part_id, "command", label))


class JobControl:
    """The job under way. Commands (any thread) change it; the inspecting threads ask for it.

    It begins with a continuous job: whoever starts the process wants it to inspect. The lock guards
    the state alone: no callback runs under it, and no result is delivered under it.

    Args:
        mailbox: emptied by an abort.
        drops: counts what waited at an abort, as (line, aborted).
        on_change: called when `mode` has changed.
        finish: takes the id and the outcome of a single job that gets no result.
        on_dropped: takes the frames that an abort threw away.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        drops: DropCounts,
        *,
        on_change: Callable[[], None],
        finish: Callable[[str, Answer], None],
        on_dropped: Callable[[Sequence[Frame]], None] = lambda _: None,
    ):
        self._mailbox = mailbox
        self._drops = drops
        self._on_change = on_change
        self._finish = finish
        self._on_dropped = on_dropped
        self._changed = threading.Condition()
        self._next: Job | None = Job()  # the continuous job, or a single one without its frame
        self._judging: Job | None = None
        self._delivering: list[Job] = []  # once per result that is being delivered now
        self._aborts = 0
        self.detail = ""

    @property
    def mode(self) -> Mode:
        """The sub-state of OPC 40100-1; `detail` says why a station is ready and not executing."""
        job = self._next or self._judging
        if job is not None and job.is_single:
            return "single_execution"
        return "ready" if self._next is None else "continuous_execution"

    def start_continuous(self, job_id: str) -> bool:
        """Judge every frame; False while a single job is under way."""
        with self._changed:
            if self.mode == "single_execution":
                return False
            self._begin(Job(job_id))
        self._on_change()
        return True

    def start_single(self, job: Job) -> bool:
        """Judge the next part; False unless the station is ready."""
        with self._changed:
            if self.mode != "ready":
                return False
            self._begin(job)
        self._on_change()
        return True

    def stop(self) -> None:
        """Judge no further frame; the one being judged still gets its result."""
        with self._changed:
            waiting, self._next = self._next, None
            self.detail = "stopped by command"
        self._on_change()
        self._fail(waiting, "aborted", "the station was stopped before a frame came")

    def abort(self, detail: str) -> int:
        """Drop what is under way. No result of it is delivered once this has returned.

        A result that is being delivered now is awaited: it came before the abort. So whatever
        delivers results must never call this.

        Returns:
            The number of waiting frames that were dropped.
        """
        with self._changed:
            self._aborts += 1
            aborts, ended = self._aborts, [job for job in (self._next, self._judging) if job]
            self._next, self.detail = None, detail
        dropped = self._mailbox.clear()
        if dropped:
            self._drops.add("line", "aborted", len(dropped))
            self._on_dropped(dropped)
        with self._changed:
            self._changed.wait_for(lambda: all(job.aborts >= aborts for job in self._delivering))
            if self._judging in ended:
                self._judging = None
        self._on_change()
        for job in ended:
            if not job.has_result:
                self._fail(job, "aborted", "the job was aborted")
        return len(dropped)

    def check(self, now_ns: int) -> None:
        """Give up a single job whose time (monotonic clock) is over."""
        with self._changed:
            late = self._next
            if late is None or now_ns < late.until_ns:
                return
            self._next = None
            self.detail = "no frame came for the single job"
        self._on_change()
        self._fail(late, "no_frame", "no frame came before the command expired; check the camera")

    def wait(self, timeout_s: float) -> bool:
        """Wait until a frame is wanted; False when none is by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._next is not None, timeout_s)

    @property
    def is_judging(self) -> bool:
        """The next frame is wanted."""
        return self._next is not None

    @property
    def continuous(self) -> Job | None:
        """The continuous job under way, None when there is none."""
        job = self._next
        return None if job is None or job.is_single else job

    def admit(self, frame: Frame, *, is_live: bool) -> Job | None:
        """Return the job that `frame` is judged for, None when no job wants it."""
        with self._changed:
            job = self._next
            if job is None or (is_live and frame.captured_ns < job.from_ns):
                return None
            self._judging = job
            if job.is_single:
                self._next = None
            return job

    @contextmanager
    def delivery(self, job: Job) -> Iterator[bool]:
        """Claim the right to deliver one result of `job`, for the length of a `with` block.

        Yields:
            True: deliver it within the block; an abort waits for the end of the block. False: the
            job was aborted, and the result is not wanted any more.
        """
        with self._changed:
            is_wanted = job.aborts == self._aborts
            if is_wanted:
                self._delivering.append(job)
        try:
            yield is_wanted
        finally:
            if is_wanted:
                self._delivered(job)

    def _delivered(self, job: Job) -> None:
        with self._changed:
            self._delivering.remove(job)
            job.has_result = True
            if job.is_single:
                self._judging = None
                if job.aborts == self._aborts:
                    self.detail = "the single job is done"
            self._changed.notify_all()
        if job.is_single:
            self._on_change()

    def _begin(self, job: Job) -> None:
        job.aborts = self._aborts
        self._next, self.detail = job, ""
        self._changed.notify_all()

    def _fail(self, job: Job | None, code: Literal["aborted", "no_frame"], why: str) -> None:
        if job is not None and job.is_single and job.id is not None:
            self._finish(job.id, Answer("failed", code, why))
