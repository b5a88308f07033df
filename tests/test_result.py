"""The reasons of verdicts: each is one that the line gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.result import Reason

EDGE = Path(__file__).resolve().parents[1] / "edge"
# These say what a reason means and sort them; they give none.
READERS = {EDGE / "result.py", EDGE / "station" / "frame_alerts.py"}


@pytest.fixture(scope="module")
def givers() -> str:
    return "\n".join(
        file.read_text(encoding="utf-8") for file in EDGE.rglob("*.py") if file not in READERS
    )


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_reason_is_given(reason: Reason, givers: str) -> None:
    assert f"Reason.{reason.name}" in givers
