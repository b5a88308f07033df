"""Rendered boards that several tests measure."""

from __future__ import annotations

import pytest

from edge.geometry.checkerboard import Board, find_board
from tests.support.checkerboards import BENT, ROUND_THE_FRAME, render


@pytest.fixture(scope="session")
def boards() -> list[Board]:
    """Boards all over the frame of a camera whose lens bends lines."""
    frames = (render(BENT, pose, seed=index) for index, pose in enumerate(ROUND_THE_FRAME))
    return [find_board(frame, (9, 6), f"{index}.png") for index, frame in enumerate(frames)]
