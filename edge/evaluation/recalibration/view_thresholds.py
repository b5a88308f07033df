"""Thresholds of the views of a part, so that the rate holds for the part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from edge.bundle.conformal import bound_of_parts, p_value, parts_above
from edge.bundle.documents import GoodScores
from edge.bundle.joint_conformal import joint_ranks, parts_for_views
from edge.bundle.recalibration import Misses
from edge.bundle.thresholds import Threshold
from edge.errors import ThresholdError
from edge.evaluation.intervals import clopper_pearson
from edge.evaluation.recalibration.exchangeability import GroupTest
from edge.evaluation.recalibration.judged import Score
from edge.evaluation.recalibration.threshold import check_odd_parts, compare_all_groups

# By part, the highest score of each of its views.
Table = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class FittedViews:
    """Thresholds by view with the scores they rest on, and what other parts say of them.

    Attributes:
        thresholds, scores: by view; each good part has one score in each.
        tested: factors whose groups do not differ.
        misses: of labelled defective parts, None without.
        undecided_p: a band for the station, and `held_back`, the share of the good parts that it
            holds back of those that pass.
        incomplete: good parts without a score in every view; they set nothing.
    """

    thresholds: Mapping[str, Threshold]
    scores: Mapping[str, GoodScores]
    tested: tuple[GroupTest, ...]
    misses: Misses | None
    undecided_p: float
    held_back: float
    incomplete: int

    @property
    def common(self) -> Threshold:
        """One of them, for what all have in common: rate, parts and bound."""
        return next(iter(self.thresholds.values()))


def fit_views(
    good: Sequence[Score], defects: Sequence[Score], rate: float, leave_out: Collection[str] = ()
) -> FittedViews:
    """Fit the thresholds of a false-reject rate of whole parts (see edge.bundle.joint_conformal).

    Of several pictures of a part in one view the one with the highest score counts.

    Args:
        good: of parts that the model has not learned from, in the order of their capture; each
            with its camera.
        defects: labelled ones, for the miss rate; they set nothing.
        rate: false-reject rate of parts that is wanted.
        leave_out: parts that do not count.

    Raises:
        ThresholdError: one view alone, too few parts, groups that are not exchangeable, or a part
            far from all others.
    """
    if strangers := sorted(set(leave_out) - {each.part for each in good}):
        raise ThresholdError(f"--leave-out {strangers[0]}: expected one of the good parts")
    good = [each for each in good if each.part not in leave_out]
    views = sorted({str(each.camera) for each in good})
    if len(views) < 2:
        raise ThresholdError(
            f"--views: expected pictures of several views, found {', '.join(views) or 'none'}; "
            "leave --views out"
        )
    shown = _table(good)
    table = {part: own for part, own in shown.items() if len(own) == len(views)}
    _check_enough(table, len(shown), views, rate)
    ascending = {view: sorted(own[view] for own in table.values()) for view in views}
    first = {each.part: each for each in reversed(good)}
    # What decides on a part is the view in which it stands highest.
    tested = compare_all_groups(
        [
            first[part]._replace(score=_standing(own, ascending), camera=None)
            for part, own in table.items()
        ]
    )
    for view in views:
        check_odd_parts(
            [first[part]._replace(score=own[view]) for part, own in table.items()], view
        )
    thresholds, scores = _fitted(table, views, rate, leave_out)
    above = {view: parts_above(own.parts) for view, own in scores.items()}

    def lowest_p(own: Mapping[str, float]) -> float:
        known = [view for view in own if view in scores]
        return min(p_value(scores[view].scores, own[view], above[view]) for view in known)

    passed = [own for own in table.values() if _passes(own, thresholds)]
    lowest = sorted(lowest_p(own) for own in passed)
    # About as many good parts become undecided as are rejected.
    band = min(lowest[min(max(1, round(rate * len(table))), len(lowest) - 1)], 0.5)
    return FittedViews(
        thresholds=thresholds,
        scores=scores,
        tested=tested,
        misses=_misses(_table(defects), thresholds, lowest_p, band),
        undecided_p=band,
        held_back=sum(p < band for p in lowest) / len(table),
        incomplete=len(shown) - len(table),
    )


def _table(scores: Sequence[Score]) -> Table:
    table: Table = {}
    for each in scores:
        own, view = table.setdefault(each.part, {}), str(each.camera)
        own[view] = max(own.get(view, each.score), each.score)
    return table


def _check_enough(table: Table, shown: int, views: Sequence[str], rate: float) -> None:
    needed, names = parts_for_views(len(views), rate), ", ".join(views)
    if len(table) >= needed:
        return
    some = f"; {shown - len(table)} more lack a view" if shown > len(table) else ""
    advice = "add parts, or ask for a higher rate"
    if not table:
        advice = "say by split.csv which pictures show the same part"
    raise ThresholdError(
        f"--rate {rate:.3%}: expected at least {needed} good parts in each of the views {names}, "
        f"found {len(table)}{some}; {advice}"
    )


def _standing(own: Mapping[str, float], ascending: Mapping[str, Sequence[float]]) -> float:
    """Highest rank of a part in its views, as a share of all parts, above 0 to 1."""
    return max(bisect_right(ascending[v], score) / len(ascending[v]) for v, score in own.items())


def _fitted(
    table: Table, views: Sequence[str], rate: float, leave_out: Collection[str]
) -> tuple[dict[str, Threshold], dict[str, GoodScores]]:
    rows = list(table.values())
    orders = {
        view: sorted(range(len(rows)), key=lambda part, view=view: rows[part][view])  # type: ignore[misc]
        for view in views
    }
    ranks = joint_ranks(orders, rate)
    scores = {
        view: GoodScores(scores=tuple(rows[part][view] for part in order), parts=tuple(order))
        for view, order in orders.items()
    }
    thresholds = {
        view: Threshold(
            method="joint-views",
            value=scores[view].scores[rank - 1],
            alpha=rate,
            n=len(rows),
            groups=len(rows),
            rank=rank,
            bound95=bound_of_parts(len(rows), rate),
            left_out=tuple(sorted(set(leave_out))),
        )
        for view, rank in ranks.items()
    }
    return thresholds, scores


def _passes(own: Mapping[str, float], thresholds: Mapping[str, Threshold]) -> bool:
    return all(own[view] <= thresholds[view].value for view in own if view in thresholds)


def _misses(
    defects: Table,
    thresholds: Mapping[str, Threshold],
    lowest_p: Callable[[Mapping[str, float]], float],
    band: float,
) -> Misses | None:
    """How many labelled defective parts pass in every view; those of unknown views aside."""
    known = [own for own in defects.values() if set(own) & set(thresholds)]
    if not known:
        return None
    passed = [own for own in known if _passes(own, thresholds)]
    low, high = clopper_pearson(len(passed), len(known))
    return Misses(
        defects=len(known),
        missed=len(passed),
        low=low,
        high=high,
        in_band=sum(lowest_p(own) < band for own in passed),
    )
