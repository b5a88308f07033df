"""Progress in lines of text: regular, with the time left, and none after a failure."""

from __future__ import annotations

import pytest

from edge.cli.plain_progress import PlainProgress, time_left
from tests.support.brokers import wait_until


def test_lines_come_while_one_step_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def said() -> int:
        seen.extend(capsys.readouterr().err.splitlines())
        return len(seen)

    with PlainProgress("training", 100, every_s=0.01).running() as progress:
        progress.step(50)
        wait_until(lambda: said() >= 3, what="lines during one step")
    said()
    assert seen[2].startswith("training 50/100, ")
    assert seen[2].endswith(" left")
    assert seen[-1] == "training 50/100"


def test_a_job_that_fails_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), PlainProgress("training", 3).running():
        raise RuntimeError
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("done", "passed_s", "words"),
    [
        (0, 5.0, ""),
        (100, 5.0, ""),
        (50, 20.0, ", 20 s left"),
        (10, 60.0, ", 9 min left"),
        (1, 60.0, ", 1 h 39 min left"),
    ],
)
def test_time_left_follows_from_the_pace(done: int, passed_s: float, words: str) -> None:
    assert time_left(done, 100, passed_s) == words
