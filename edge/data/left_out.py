"""What of a data folder is not read: counted, named, and said once."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from edge.printable_text import escaped

# Names that a line gives in full; the rest is counted.
NAMED = 5
logger = logging.getLogger(__name__)


class LeftOut:
    """Paths below the data folder `root`, by the reason why they are not read."""

    def __init__(self, root: Path):
        self.root = root
        self._paths: dict[str, list[str]] = {}

    def add(self, reason: str, path: Path, note: str = "") -> None:
        """Note one path; `reason` reads after a number, such as "hidden files"."""
        name = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path
        self._paths.setdefault(reason, []).append(f"{name}{note}")

    def lines(self) -> tuple[str, ...]:
        """One line per reason."""
        return tuple(
            f"{len(names)} {reason}: {in_short(names)}" for reason, names in self._paths.items()
        )


def in_short(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    named = ", ".join(escaped(name) for name in names[:NAMED])
    more = len(names) - NAMED
    return f"{named} and {more} more" if more > 0 else named


@cache
def say_once(line: str) -> None:
    """Log a warning, however often the same folder is read by this process."""
    logger.warning("%s", line)
