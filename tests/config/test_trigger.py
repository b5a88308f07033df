"""What announces a part, in the station file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.station import read_station
from edge.config.trigger import TriggerSettings
from tests.support.station_file import GOOD, problems, write


def test_every_frame_is_a_part_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert read_station(write(tmp_path, GOOD)).trigger == TriggerSettings(by="free")
    assert TriggerSettings().is_free


def test_the_kind_alone_stands_for_the_whole(tmp_path: Path) -> None:
    trigger = read_station(write(tmp_path, GOOD + "trigger: hardware")).trigger
    assert (trigger.by, trigger.line, trigger.activation) == ("hardware", "Line0", "RisingEdge")
    assert (trigger.queue, trigger.frame_timeout_ms, trigger.deadline_ms) == (4, 1000, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval", "by: interval needs period_s"),
        ("{by: interval, period_s: 0}", "greater than or equal to 0.001"),
        ("{by: software, period_s: 1}", "period_s goes with by: interval, not software"),
        ("{by: free, deadline_ms: 5}", "deadline_ms goes with by: software or interval or"),
        ("{by: interval, period_s: 1, http_port: 80}", "http_port goes with by: software"),
        ("{by: hardware, activation: Rising}", "'RisingEdge'"),
        ("{by: encoder, every_mm: 50}", "by: encoder needs mm_per_count"),
        ("{by: encoder, every_mm: 10, mm_per_count: 3}", "10 counts; write every_mm: 9"),
        ("{by: encoder, every_mm: 1, mm_per_count: 3}", "0.333 counts; write every_mm: 3"),
        ("{by: software, http_prt: 80}", "unknown key; did you mean http_port?"),
        ("{by: lightning}", "'hardware'"),
        ("software", "needs a door: http_port, or commands.allow: [trigger, ...]"),
        ("{by: software, http_port: 0}", "greater than or equal to 1"),
        ("{by: hardware, queue: -1}", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(tmp_path: Path, text: str, problem: str) -> None:
    found = problems(tmp_path, f"{GOOD}trigger: {text}\n")
    assert len(found) == 1
    if "multiple" in found[0]:
        assert "multiple of mm_per_count" in found[0]
    assert problem.removeprefix("10 counts; ") in found[0]


@pytest.mark.parametrize(
    "more",
    ["trigger: {by: software, http_port: 8090}", "trigger: software\ncommands: {allow: [trigger]}"],
)
def test_software_triggers_need_one_door(tmp_path: Path, more: str) -> None:
    assert read_station(write(tmp_path, f"{GOOD}{more}\n")).trigger.by == "software"


def test_distance_becomes_counts() -> None:
    trigger = TriggerSettings(by="encoder", every_mm=50, mm_per_count=0.1)
    assert trigger.counts_per_trigger == 500
    assert trigger.is_in_camera
