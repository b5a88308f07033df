"""A whole station that is triggered: exactly one result per trigger, whatever happens."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from edge.cameras.fired import FiredSource
from edge.messages.payload import schema
from edge.trigger import Trigger
from edge.triggers.source import NotTaken
from tests.support.triggered_line import LIMIT_S, Line, one_each

FIRED = "test://conveyor?size=32x32"
SOFTWARE = {"by": "software", "frame_timeout_ms": 30_000}


@pytest.fixture
def line(tmp_path: Path, fast_bundle: Path):
    lines: list[Line] = []

    def make(source: str = FIRED, trigger: dict | None = None, **changes) -> Line:
        one = Line(tmp_path, fast_bundle, source, trigger or SOFTWARE, **changes)
        lines.append(one)
        if "parts=" not in source or (one.queue is not None and trigger is None):
            one.until(lambda: one.station._capture.state.connected, "the camera")
        return one

    yield make
    for each in lines:
        each.stop()


def test_a_trigger_has_one_result_that_names_it(line) -> None:
    one = line()
    trigger = one.trigger(trigger_id="t1", barcode="4006381333931")
    one.wait(1)
    (result,) = one.stop()
    assert result["result"] == "pass"
    assert result["trigger"].items() >= {"id": "t1", "source": "software", "is_late": False}.items()
    assert result["trigger"]["wait_ms"] >= 0
    assert result["times"]["trigger"] == result["trigger"]["at"]
    assert "deadline_ms" not in result["times"]
    assert result["part"].items() >= {"id": "4006381333931", "id_source": "barcode"}.items()
    assert trigger.part_id == "4006381333931"
    assert list(Draft202012Validator(schema("result")).iter_errors(result)) == []


def test_no_trigger_no_result_and_no_camera_counts_as_lost(line) -> None:
    one = line("test://conveyor?size=32x32&fps=100")
    unasked = lambda: one.queue.counts["unasked"]  # noqa: E731
    one.until(lambda: unasked() > 20, "frames without a trigger")
    assert one.results == []
    taken = one.trigger()
    one.wait(1)
    one_each(one.stop(), [taken])
    assert one.station.drops.snapshot()["trigger", "unasked"] == unasked()


def test_every_result_of_a_free_station_says_null(line) -> None:
    one = line("test://conveyor?size=32x32&parts=2", {"by": "free"})
    one.thread.join(LIMIT_S)
    assert [result["trigger"] for result in one.results] == [None, None]


def test_a_trigger_without_a_frame_is_an_error(line, monkeypatch) -> None:
    monkeypatch.setattr(FiredSource, "fire", lambda _: None)
    one = line(trigger={**SOFTWARE, "frame_timeout_ms": 20})
    taken = [one.trigger(part_id="p1")]
    one.wait(1)
    (result,) = one.stop()
    one_each([result], taken)
    assert (result["result"], result["reason"]) == ("error", "no_frame")
    assert result["part"] == {"id": "p1", "id_source": "command"}
    assert result["views"][0]["camera"] == "top"
    assert "no frame came within 20 ms" in result["detail"]
    assert list(Draft202012Validator(schema("result")).iter_errors(result)) == []


def test_a_result_after_the_deadline_is_flagged_and_counted(line) -> None:
    one = line(trigger={**SOFTWARE, "deadline_ms": 0.001})
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert result["result"] == "pass"
    assert result["trigger"]["is_late"] is True
    assert result["times"]["deadline_met"] is False
    assert one.queue.counts["late"] == 1


def test_a_result_in_time_is_not_flagged(line) -> None:
    one = line(trigger={**SOFTWARE, "deadline_ms": 600_000})
    one.trigger()
    one.wait(1)
    (result,) = one.stop()
    assert result["trigger"]["is_late"] is False
    assert result["times"]["deadline_ms"] == 600_000
    assert result["times"]["deadline_met"] is True


class Held:
    """Holds the inspector in the midst of a part until it is let go."""

    def __init__(self, line: Line, monkeypatch: pytest.MonkeyPatch):
        self.reached, self.go = threading.Event(), threading.Event()
        inspector = line.station._changeover.current.inspector
        inspect = inspector.inspect

        def held(frame):
            self.reached.set()
            assert self.go.wait(LIMIT_S)
            return inspect(frame)

        monkeypatch.setattr(inspector, "inspect", held)


def test_bursts_are_refused_beyond_the_queue_and_what_is_taken_is_judged(line, monkeypatch) -> None:
    one = line(trigger={**SOFTWARE, "queue": 2})
    held = Held(one, monkeypatch)
    outcomes = [one.trigger() for _ in range(6)]
    refused = [each for each in outcomes if isinstance(each, NotTaken)]
    assert [each.code for each in refused] == ["not_ready"] * 3
    held.go.set()
    one.wait(3)
    one_each(one.stop(), [each for each in outcomes if isinstance(each, Trigger)])
    assert one.queue.counts["refused"] == 3


def test_a_stop_of_the_station_gives_every_open_trigger_its_result(line, monkeypatch) -> None:
    one = line()
    held = Held(one, monkeypatch)
    taken = [one.trigger() for _ in range(4)]
    assert held.reached.wait(LIMIT_S)
    one.station.request_stop()
    one.until(lambda: one.queue._is_closed, "the end of triggers")
    held.go.set()
    one_each(one.stop(), taken)
    assert set(one.reasons) <= {"score_below_threshold", "not_judged", "no_frame"}


def test_an_inspector_that_is_stuck_at_the_stop_gives_no_second_result(line, monkeypatch) -> None:
    one = line()
    held = Held(one, monkeypatch)
    taken = [one.trigger()]
    assert held.reached.wait(LIMIT_S)
    one.stop()
    one_each(one.results, taken)
    assert one.reasons == ["not_judged"]
    held.go.set()
    one.station._inspector.join(LIMIT_S)
    one.station._cleanup.close()  # a stuck station leaves it to the end of the process
    one_each(one.results, taken)


def test_an_abort_gives_error_results_to_what_it_drops(line, monkeypatch) -> None:
    one = line()
    held = Held(one, monkeypatch)
    taken = [one.trigger() for _ in range(3)]
    assert held.reached.wait(LIMIT_S)
    one.until(lambda: len(one.station._mailbox) == 2, "frames that wait")
    one.jobs.abort("aborted by a test")
    held.go.set()
    one.wait(3)
    one_each(one.stop(), taken)
    assert one.reasons == ["not_judged"] * 3
    assert {result["result"] for result in one.results} == {"error"}


def test_a_stopped_line_refuses_and_what_was_taken_before_has_its_result(line, monkeypatch) -> None:
    one = line()
    held = Held(one, monkeypatch)
    taken = [one.trigger(), one.trigger()]
    assert held.reached.wait(LIMIT_S)
    one.jobs.stop()
    assert one.trigger().code == "not_judging"
    held.go.set()
    one.wait(2)
    assert sorted(one.reasons) == ["not_judged", "score_below_threshold"]
    assert one.jobs.start_continuous("again")
    taken.append(one.trigger())
    one.wait(3)
    one_each(one.stop(), taken)
    assert one.results[-1]["job_id"] == "again"


def test_results_and_refusals_add_up_in_a_storm(line) -> None:
    one = line("test://conveyor?size=32x32&fault=drop:0.05,corrupt:0.05",
               {**SOFTWARE, "frame_timeout_ms": 20, "queue": 3})  # fmt: skip
    outcomes: list[Trigger | NotTaken] = []

    def fire() -> None:
        outcomes.extend(one.trigger() for _ in range(100))

    threads = [threading.Thread(target=fire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one_each(one.stop(), [each for each in outcomes if isinstance(each, Trigger)])


def test_an_input_of_the_camera_gives_one_result_per_part_seen_or_lost(line) -> None:
    one = line("test://conveyor?size=32x32&parts=120&fault=drop:0.1", {"by": "hardware"})
    one.thread.join(LIMIT_S)
    ids = [result["views"][0]["frame_id"] for result in one.results]
    assert len(one.results) == max(ids) - min(ids) + 1
    assert one.reasons.count("no_frame") == one.station.drops.snapshot()["camera", "gap"] - min(ids)
    assert len({result["trigger"]["id"] for result in one.results}) == len(one.results)
    assert {result["trigger"]["source"] for result in one.results} == {"hardware"}


def test_a_clock_triggers_a_free_camera(line) -> None:
    one = line("test://conveyor?size=32x32&fps=200", {"by": "interval", "period_s": 0.02})
    one.wait(5)
    results = one.stop()
    assert len({result["trigger"]["id"] for result in results}) == len(results)
    assert len(results) == one.queue.counts["taken"]


def test_the_end_of_the_pictures_is_the_end_of_the_station(line) -> None:
    one = line("test://conveyor?size=32x32&parts=3")
    taken = [one.trigger() for _ in range(3)]
    one.thread.join(LIMIT_S)
    assert not one.thread.is_alive()
    one_each(one.results, taken)
