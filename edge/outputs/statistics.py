"""Running totals of a station's work: verdicts, latencies, and truth where it is known."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from time import monotonic

import numpy as np

from edge.frame import GOOD
from edge.inspection.type_naming import predicted_type
from edge.outputs.replay_comparison import ReplayComparison
from edge.outputs.sink import Decided, ResultSink
from edge.result import UNKNOWN_TYPE, Inspection, Verdict

# Enough for a steady p99; the memory of an unattended station must not grow.
KEPT_TIMES = 10_000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; None before the first part."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a station did since its start.

    `processing` is decoded frame to verdict, `total` capture to verdict, over the last
    KEPT_TIMES parts. Precision and recall count every part that did not pass as rejected; they
    are None without labelled defects or rejects. `type_accuracy` is the share of those defective
    rejects whose type is right, None where no region was named.
    """

    parts: int
    counts: dict[str, int]
    seconds: float
    parts_per_second: float
    processing: Percentiles
    total: Percentiles
    labelled: int
    precision: float | None
    recall: float | None
    false_reject_rate: float | None
    type_accuracy: float | None


class Statistics(ResultSink):
    """Counts every decided part; safe to read from another thread.

    Attributes:
        comparison: of archived frames, then and now.
    """

    name = "statistics"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Verdict] = Counter()
        self._truth: Counter[tuple[bool, bool]] = Counter()  # (is defective, was rejected)
        self._named: Counter[bool] = Counter()  # was the type right, of defective rejects
        self._names_types = False
        self._processing: deque[float] = deque(maxlen=KEPT_TIMES)
        self._total: deque[float] = deque(maxlen=KEPT_TIMES)
        self._first_s: float | None = None
        self._last_s = 0.0
        self.comparison = ReplayComparison()

    def decided(self, decided: Decided) -> None:
        """Count one part."""
        self.add(decided.inspection)
        self.comparison.add(decided)

    def add(self, inspection: Inspection) -> None:
        """Count one inspection."""
        part = inspection.part
        with self._lock:
            self._counts[inspection.verdict] += 1
            if inspection.score is not None:
                self._processing.append(inspection.times.processing_ms)
                self._total.append(inspection.times.total_ms)
            if part is not None and part.label is not None:
                is_reject = inspection.verdict is not Verdict.PASS
                self._truth[part.label != GOOD, is_reject] += 1
                if is_reject and part.label != GOOD:
                    self._count_name(part.label, predicted_type(inspection.regions))
            self._last_s = monotonic()
            if self._first_s is None:
                # The first part was on its way before it was counted.
                self._first_s = self._last_s - inspection.times.processing_ms / 1e3

    def _count_name(self, label: str, name: str) -> None:
        self._named[name == label] += 1
        self._names_types |= name != UNKNOWN_TYPE

    @property
    def parts(self) -> int:
        """Parts so far."""
        with self._lock:
            return sum(self._counts.values())

    def summary(self) -> Summary:
        """Return the figures of the parts so far."""
        with self._lock:
            parts = sum(self._counts.values())
            seconds = self._last_s - self._first_s if self._first_s is not None else 0.0
            truth = self._truth
            return Summary(
                parts=parts,
                counts={verdict.value: self._counts[verdict] for verdict in Verdict},
                seconds=seconds,
                parts_per_second=parts / seconds if seconds > 0 else 0.0,
                processing=_percentiles(self._processing),
                total=_percentiles(self._total),
                labelled=sum(truth.values()),
                precision=_share(truth[True, True], truth[True, True] + truth[False, True]),
                recall=_share(truth[True, True], truth[True, True] + truth[True, False]),
                false_reject_rate=_share(
                    truth[False, True], truth[False, True] + truth[False, False]
                ),
                type_accuracy=_share(self._named[True], sum(self._named.values()))
                if self._names_types
                else None,
            )


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _percentiles(times: deque[float]) -> Percentiles:
    if not times:
        return Percentiles()
    p50, p95, p99 = np.percentile(np.fromiter(times, float), [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99))
