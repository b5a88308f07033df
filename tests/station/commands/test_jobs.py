"""Which frames are inspected, and what a stop and an abort do to results on their way."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.drop_counts import DropCounts
from edge.frame import Frame, Part
from edge.messages.command import Answer
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.jobs import Job, JobControl
from tests.support.waiting import WatchedCondition


def frame(number: int = 0, part: Part | None = None) -> Frame:
    return frame_now("top", number, np.zeros((2, 2, 3), np.uint8), part=part)


def single(name: str, lifetime_s: float = 30.0) -> Job:
    return Job.single(name, None, datetime.now(timezone.utc) + timedelta(seconds=lifetime_s))


class Made(JobControl):
    """A job control that records its callbacks, and the results that it let through."""

    def __init__(self) -> None:
        self.drops = DropCounts()
        self.box = Mailbox("every", 8, self.drops)
        self.finished: dict[str, Answer] = {}
        self.modes: list[str] = []
        self.results: list[str | None] = []
        super().__init__(
            self.box,
            self.drops,
            on_change=lambda: self.modes.append(self.mode),
            finish=self.finished.__setitem__,
        )
        self._changed = WatchedCondition()

    def end(self, job: Job) -> bool:
        with self.delivery(job) as is_wanted:
            if is_wanted:
                self.results.append(job.id)
        return is_wanted


@pytest.fixture
def made() -> Made:
    return Made()


def test_a_single_job_wants_one_frame_and_is_over_with_its_result(made: Made) -> None:
    assert not made.start_single(single("early")), "every frame is judged"
    made.stop()
    too_early = frame(0)
    assert made.start_single(single("a"))
    assert not made.start_single(single("b"))
    assert not made.start_continuous("c")
    assert made.admit(too_early, is_live=True) is None
    job = made.admit(frame(1), is_live=True)
    assert job is not None
    assert made.admit(frame(2), is_live=True) is None
    assert made.mode == "single_execution"
    assert made.end(job)
    assert made.results == ["a"]
    assert made.modes == ["ready", "single_execution", "ready"]
    assert made.start_single(single("d"))


def test_a_file_that_waited_is_the_next_frame(made: Made) -> None:
    made.stop()
    waited = frame(0)
    made.start_single(single("a"))
    assert made.admit(waited, is_live=False) is not None


def test_what_is_being_judged_at_a_stop_gets_its_result_and_at_an_abort_none(made: Made) -> None:
    stopped = made.admit(frame(0), is_live=True)
    made.stop()
    assert made.mode == "ready"
    assert made.end(stopped)
    made.start_continuous("c-1")
    aborted = made.admit(frame(1), is_live=True)
    for number in (2, 3):
        made.box.put(frame(number), wait=False)
    assert made.abort("aborted by command") == 2
    assert made.mode == "ready"
    assert not made.end(aborted)
    assert made.results == [None]
    assert len(made.box) == 0
    assert made.drops.snapshot() == {("line", "aborted"): 2}
    made.start_continuous("c-2")
    assert made.end(made.admit(frame(4), is_live=True)), "an abort holds for its own time only"


def test_an_abort_between_a_stop_and_the_verdict_still_counts(made: Made) -> None:
    job = made.admit(frame(0), is_live=True)
    made.stop()
    made.start_single(single("a"))
    made.abort("")
    assert not made.end(job)
    assert made.finished["a"].code == "aborted"


@pytest.mark.parametrize("is_judging", [False, True])
def test_an_aborted_single_job_has_failed(made: Made, is_judging: bool) -> None:
    made.stop()
    made.start_single(single("a"))
    job = made.admit(frame(0), is_live=True) if is_judging else None
    made.abort("")
    assert (made.finished["a"].status, made.finished["a"].code) == ("failed", "aborted")
    assert made.mode == "ready"
    assert job is None or not made.end(job)
    assert made.start_single(single("b")), "the one before is forgotten"


def test_a_single_job_without_a_frame_fails_when_its_command_expires(made: Made) -> None:
    made.check(2**62)
    assert made.mode == "continuous_execution", "a continuous run has all the time"
    made.stop()
    made.start_single(single("a", lifetime_s=5))
    made.check(time.monotonic_ns() + 4 * 10**9)
    assert made.mode == "single_execution"
    made.check(time.monotonic_ns() + 5 * 10**9)
    assert made.mode == "ready"
    assert made.finished["a"].code == "no_frame"


def test_a_stop_ends_a_single_job_that_has_no_frame(made: Made) -> None:
    made.stop()
    made.start_single(single("a"))
    made.stop()
    assert (made.finished["a"].status, made.mode) == ("failed", "ready")


def test_the_part_of_a_command_takes_the_place_of_the_camera_s() -> None:
    known = frame(0, Part("x.png", "file", "scratch"))
    assert Job("a").named(known) is known
    assert Job("a", part_id="4006").named(known).part == Part("4006", "command", "scratch")
    assert Job("a", part_id="4006").named(frame()).part == Part("4006", "command")


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("is_single", [False, True])
def test_an_abort_waits_for_the_result_that_is_going_out(made: Made, is_single: bool) -> None:
    if is_single:
        made.stop()
        made.start_single(single("a"))
    job = made.admit(frame(0), is_live=True)
    assert job is not None
    seen_at_return: list[list[str | None]] = []

    def abort() -> None:
        made.abort("aborted by command")
        seen_at_return.append(list(made.results))

    with made.delivery(job) as is_wanted:
        assert is_wanted
        thread = in_thread(abort)
        assert made._changed.has_waiter.wait(20)
        assert not made.end(job), "no further result is accepted meanwhile"
        assert seen_at_return == [], "the abort has returned before the result was delivered"
        made.results.append("delivered")
    thread.join(20)
    assert seen_at_return == [["delivered"]]
    assert made.finished == {}, "a job that got its result has not failed"
    assert (made.mode, made.detail) == ("ready", "aborted by command")
    assert made.start_single(single("b"))


def test_a_result_that_comes_after_the_abort_has_begun_is_lost(made: Made) -> None:
    first, second = made.admit(frame(0), is_live=True), made.continuous
    assert first is not None
    assert second is not None
    with made.delivery(first):
        thread = in_thread(lambda: made.abort(""))
        assert made._changed.has_waiter.wait(20)
        assert made.start_continuous("c"), "the state can be changed while the abort waits"
        assert not made.end(second)
        newer = made.delivery(made.admit(frame(1), is_live=True))
        assert newer.__enter__(), "the new job is not aborted"
    thread.join(20)
    assert not thread.is_alive(), "results of the new job do not hold the abort up"
    newer.__exit__(None, None, None)
    assert made.results == []
    assert made.mode == "continuous_execution"


def test_an_abort_also_ends_a_job_that_was_stopped_before(made: Made) -> None:
    refused = made.continuous
    assert refused is not None
    made.stop()
    made.start_continuous("c")
    made.abort("")
    assert not made.end(refused)


def test_no_foreign_code_runs_under_the_lock(made: Made) -> None:
    """Each callback asks another thread for the lock, and so does the delivery of a result."""
    calls: list[str] = []

    def ask(name: str) -> None:
        calls.append(name)
        thread = in_thread(lambda: made.wait(0))
        thread.join(20)
        assert not thread.is_alive(), f"{name} runs under the lock"

    made._on_change = lambda: ask("on_change")
    made._finish = lambda *_: ask("finish")
    clear = made.box.clear
    made.box.clear = lambda: [ask("clear"), clear()][1]
    made.stop()
    made.start_single(single("a"))
    with made.delivery(made.admit(frame(0), is_live=True)):
        ask("delivery")
    made.start_single(single("b"))
    made.abort("")
    made.start_single(single("c"))
    made.check(2**62)
    assert set(calls) == {"on_change", "finish", "clear", "delivery"}
