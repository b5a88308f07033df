"""The sink that answers the command of a single job with the result of its part."""

from __future__ import annotations

from collections.abc import Callable

from edge.messages.command import Answer
from edge.messages.payload import Payload
from edge.outputs.sink import ResultSink


class JobAnswers(ResultSink):
    """Reports a single job as done once its result is stored, and names the result's number.

    Args:
        finish: takes the id of the command and its outcome.
    """

    name = "job_answers"

    def __init__(self, finish: Callable[[str, Answer], None]):
        self._finish = finish

    def committed(self, payload: Payload) -> None:
        """Answer the command that triggered this part, if one did."""
        if "trigger" in payload["times"] and "job_id" in payload:
            detail = f"judged: {payload['result']}, in the result with seq {payload['seq']}"
            self._finish(payload["job_id"], Answer("done", "ok", detail))
