"""Fixtures that the tests of several sources share."""

from __future__ import annotations

import pytest

from edge.cameras.pace import Pace


@pytest.fixture
def periods(monkeypatch):
    """Record the time that each frame is held back, seconds, instead of waiting."""
    held_back = []

    def wait(pace, period_s):
        held_back.append(period_s)
        return True

    monkeypatch.setattr(Pace, "wait", wait)
    return held_back
