"""A single job is answered by the stored result of its part."""

from __future__ import annotations

from edge.messages.command import Answer
from edge.station.job_answers import JobAnswers
from tests.support.sinks import describe, make_decided


def test_the_result_of_a_single_job_answers_its_command() -> None:
    finished: dict[str, Answer] = {}
    answers = JobAnswers(finished.__setitem__)
    answers.committed({**describe(make_decided(job_id="job-1")), "seq": 41})
    assert finished == {"job-1": Answer("done", "ok", "judged: fail, in the result with seq 41")}


def test_parts_of_a_continuous_job_answer_nothing() -> None:
    finished: dict[str, Answer] = {}
    answers = JobAnswers(finished.__setitem__)
    payload = {**describe(make_decided()), "seq": 41}
    answers.committed(payload)
    answers.committed({**payload, "job_id": "continuous"})
    assert finished == {}
