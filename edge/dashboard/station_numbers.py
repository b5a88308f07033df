"""Numbers of a station that the page draws: rates, drift, histogram, trend. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.dashboard.history_queries import Bucket
from edge.result import VERDICTS

BINS = 30
# Periods that the page offers, in seconds, and the stretches that a trend has in each.
WINDOWS = {"15min": 900, "1h": 3600, "8h": 8 * 3600, "24h": 86400, "7d": 7 * 86400}
STRETCHES = 60
# A change of the mean score below this share is not worth a word.
LEAST_DRIFT = 0.1
LEAST_SCORES = 20


def reject_rate(counts: Mapping[str, int]) -> float | None:
    """Return the share of parts that did not pass, None without parts."""
    total = sum(counts.get(verdict, 0) for verdict in VERDICTS)
    return None if total == 0 else 1 - counts.get("pass", 0) / total


def histogram(
    scores: Sequence[tuple[str, float]], threshold: float | None
) -> dict[str, list[float]]:
    """Count scores by verdict in bins of equal width.

    Returns:
        `edges`, the lower edge of each bin, and a list of counts for each verdict.
    """
    values = [score for _, score in scores]
    if not values:
        return {"edges": [], **{verdict: [] for verdict in VERDICTS}}
    low, high = min(values), max([*values, *([threshold] if threshold else [])])
    width = (high - low) / BINS or max(abs(high), 1.0) / BINS
    counts: dict[str, list[float]] = {verdict: [0.0] * BINS for verdict in VERDICTS}
    for verdict, score in scores:
        counts[verdict][min(BINS - 1, int((score - low) / width))] += 1
    return {"edges": [low + width * index for index in range(BINS)], **counts}


def trend(buckets: Sequence[Bucket]) -> dict[str, list[Any]]:
    """Return columns for charts: moments in seconds, parts, rejects, mean score and latency."""
    return {
        "at": [bucket.since_ms / 1000 for bucket in buckets],
        "parts": [sum(bucket.counts.values()) for bucket in buckets],
        "rejects": [sum(b.counts.values()) - b.counts["pass"] for b in buckets],
        "score": [bucket.score for bucket in buckets],
        "latency": [bucket.latency_ms for bucket in buckets],
    }


def drift(before: Sequence[float], recent: Sequence[float]) -> float | None:
    """Return by what share the median score of recent parts differs from that of the parts before.

    None where there are too few, 0 where the change is too small to speak of.
    """
    if min(len(before), len(recent)) < LEAST_SCORES:
        return None
    was, now = _median(before), _median(recent)
    if was <= 0:
        return None
    change = now / was - 1
    return 0.0 if abs(change) < LEAST_DRIFT else change


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
