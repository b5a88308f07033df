"""One progress bar per stage of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edge.cli.console import progress

if TYPE_CHECKING:
    from edge.training.progress import Progress


@contextmanager
def stage_bars() -> Iterator[Progress]:
    """Open the bar of a stage whenever the yielded value is called.

    The previous bar is full by then, and closes.
    """
    with ExitStack() as bars:

        def open_bar(stage: str, total: int) -> Callable[[int], None]:
            bars.close()
            return bars.enter_context(progress(stage, total))

        yield open_bar
