"""One progress bar per stage of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edge.cli.console import progress

if TYPE_CHECKING:
    from edge.training.progress import Progress


@contextmanager
def stage_bars(planned: Sequence[str] = ()) -> Iterator[Progress]:
    """Open the bar of a stage whenever the yielded value is called.

    The previous bar is full by then, and closes.

    Args:
        planned: stages in their order, for `stage x of y`; one that is not needed is skipped.
    """
    with ExitStack() as bars:

        def open_bar(stage: str, total: int) -> Callable[[int], None]:
            bars.close()
            return bars.enter_context(progress(titled(stage, planned), total))

        yield open_bar


def titled(stage: str, planned: Sequence[str]) -> str:
    """Return the title of a stage with its number; without one where nothing is planned."""
    if stage not in planned or len(planned) == 1:
        return stage
    return f"stage {planned.index(stage) + 1} of {len(planned)}: {stage}"
