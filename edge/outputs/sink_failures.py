"""What a failing output costs: a count, and one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from edge.drop_counts import DropCounts

log = logging.getLogger(__name__)


class SinkFailures:
    """Catches what sinks raise, so that a broken one disturbs nothing else.

    Every failure is counted as (NAME, failed), which the health message shows. Each type of error
    is logged once per sink and moment: ten failing parts a second must not flood it.
    """

    def __init__(self, drops: DropCounts):
        self._drops = drops
        self._logged: set[tuple[str, str, str]] = set()

    @contextmanager
    def caught(self, name: str, moment: str) -> Iterator[None]:
        """Catch every exception of the `with` block, which works for sink `name`."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - sinks may be anybody's code
            self._drops.add(name, "failed")
            kind = type(error).__name__
            if (name, moment, kind) not in self._logged:
                self._logged.add((name, moment, kind))
                log.error(  # noqa: TRY400 - one line, not a traceback
                    "output failed output=%s moment=%s, counted as %s.failed from now on: %s: %s",
                    name, moment, name, kind, error,
                )  # fmt: skip
