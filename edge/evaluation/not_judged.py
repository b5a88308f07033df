"""Pictures that the line would not judge: they are named, and count as parts that do not pass."""

from __future__ import annotations

from collections.abc import Sequence

from edge.data.left_out import in_short, say_once
from edge.errors import DataError


def say_not_judged(name: str, pictures: Sequence[tuple[str, str]], of: int) -> None:
    """Name the pictures of a data set without a score, (name, reason) each.

    Args:
        name: of the data set.
        pictures: those that were not judged.
        of: how many were inspected.

    Raises:
        DataError: none was judged, so that there is nothing to measure.
    """
    if not pictures:
        return
    named, why = in_short([picture for picture, _ in pictures]), pictures[0][1]
    if len(pictures) == of:
        raise DataError(f"--data {name}: none of the {of} pictures can be judged: {named}: {why}")
    say_once(
        f"--data {name}: {len(pictures)} of {of} pictures are not judged, as on the line, and "
        f"count as parts that do not pass: {named}: {why}"
    )
