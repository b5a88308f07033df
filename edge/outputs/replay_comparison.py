"""What a replay changed: the verdicts of archived frames, then and now."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime

from edge.messages.identity import rfc3339
from edge.messages.payload import Payload, significant
from edge.outputs.sink import Decided

SCHEMA = "edge-infer.replay/1"
# So many changes and faults are told one by one; beyond that they are only counted.
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """A part whose verdict is another now. `part_id` is the frame's name where it has none."""

    part_id: str
    frame: str
    captured_at: str | None
    was: str
    now: str
    was_score: float | None
    now_score: float | None
    was_recipe: str
    now_recipe: str


class ReplayComparison:
    """Compares the verdicts of archived frames with those of the replay; any thread may ask.

    A frame whose record or picture is damaged cannot be compared: it is counted apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: Counter[tuple[str, str]] = Counter()  # (then, now)
        self._changes: list[Change] = []
        self._damaged: list[str] = []
        self._damaged_count = 0

    def add(self, decided: Decided) -> None:
        """Compare one part; one that is no replay is ignored."""
        frame, inspection = decided.frame, decided.inspection
        earlier = frame.earlier
        if earlier is None:
            return
        with self._lock:
            if frame.fault is not None:
                self._damaged_count += 1
                if len(self._damaged) < KEPT:
                    self._damaged.append(frame.fault)
                return
            now = inspection.verdict.value
            self._verdicts[earlier.verdict, now] += 1
            if earlier.verdict != now and len(self._changes) < KEPT:
                self._changes.append(
                    Change(
                        part_id=inspection.part.id if inspection.part else earlier.name,
                        frame=earlier.name,
                        captured_at=_shown(earlier.captured_at),
                        was=earlier.verdict,
                        now=now,
                        was_score=significant(earlier.score),
                        now_score=significant(inspection.score),
                        was_recipe=earlier.recipe,
                        now_recipe=f"{decided.model.recipe_id} {decided.model.recipe_version}",
                    )
                )

    @property
    def compared(self) -> int:
        """Frames that were judged again."""
        with self._lock:
            return sum(self._verdicts.values())

    @property
    def changed(self) -> int:
        """Frames whose verdict is another now."""
        with self._lock:
            return sum(n for (then, now), n in self._verdicts.items() if then != now)

    @property
    def is_empty(self) -> bool:
        """No frame came from an archive."""
        with self._lock:
            return not self._verdicts and not self._damaged_count

    def report(self) -> Payload:
        """Return everything as plain values, as edge-infer prints it with --json."""
        compared, changed = self.compared, self.changed
        with self._lock:
            return {
                "schema": SCHEMA,
                "compared": compared,
                "changed": changed,
                "damaged": self._damaged_count,
                "verdicts": [
                    {"was": then, "now": now, "count": count}
                    for (then, now), count in sorted(self._verdicts.items())
                ],
                "changes": [asdict(change) for change in self._changes],
                "damaged_frames": list(self._damaged),
            }


def _shown(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
