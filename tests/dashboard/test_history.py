"""What the history keeps, finds again and forgets."""

from __future__ import annotations

import base64
import copy
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.dashboard.history import History, milliseconds
from edge.dashboard.history_file import HistoryFile
from edge.dashboard.history_queries import HistoryQueries, ResultFilter
from edge.dashboard.settings import RetentionSettings
from edge.errors import ConfigError
from edge.messages.identity import rfc3339
from edge.messages.payload import Payload
from edge.messages.picture import picture_payload
from edge.result import Verdict
from tests.support.mqtt_results import IDENTITY, make_payload

START = datetime(2026, 11, 21, 6, tzinfo=timezone.utc)
JPEG = b"\xff\xd8\xff picture"


def result(seq: int, verdict: str = "pass", *, station: str = "top", **changes) -> Payload:
    """The seq-th part, one second after the one before."""
    payload = copy.deepcopy(make_payload(f"p-{seq:04d}", verdict=Verdict(verdict)))
    if verdict == "pass":
        payload["defects"] = []
    moment = rfc3339(START + timedelta(seconds=seq))
    payload["times"] |= {"capture": moment, "end": moment}
    return {
        **payload, "seq": seq, "msg_id": f"m-{station}-{seq}", "outbox_id": "o", "node": "box",
        "station": station, **changes,
    }  # fmt: skip


class Bench:
    def __init__(self, folder: Path, **retention):
        self.file = HistoryFile(folder)
        self.history = History(self.file, RetentionSettings(**retention))
        self.queries = HistoryQueries(self.file)

    def add(self, *payloads: Payload) -> list[int]:
        return [kept.id for kept in self.history.add_results(payloads)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_result_comes_back_as_it_was_published(bench: Bench) -> None:
    payload = result(1, "fail")
    (row_id,) = bench.add(payload)
    assert bench.queries.result(row_id) == payload
    assert bench.queries.result(row_id + 1) is None


def test_a_repetition_is_kept_once(bench: Bench) -> None:
    first = bench.history.add_results([result(1)])[0]
    again = bench.history.add_results([{**result(1, "fail"), "is_replayed": True}])[0]
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    other = bench.history.add_results([result(1, station="side")])[0]
    assert other.is_new, "another station numbers for itself"
    assert bench.queries.totals(ResultFilter())["pass"] == 2


def test_pages_of_results_join_without_a_gap(bench: Bench) -> None:
    same = START + timedelta(seconds=5)
    rows = [result(n) for n in range(10)]
    for row in rows[3:6]:
        row["times"]["end"] = rfc3339(same)
    bench.add(*rows)
    seen, before = [], None
    while page := bench.queries.results(ResultFilter(), limit=4, before=before):
        seen += [row["seq"] for row in page]
        before = (page[-1]["at_ms"], page[-1]["id"])
    assert sorted(seen) == list(range(10))
    assert seen[0] == 9


def test_filters_join(bench: Bench) -> None:
    bench.add(result(1), result(2, "fail"), result(3, "undecided"), result(4, station="side"))
    find = bench.queries.results
    assert [r["seq"] for r in find(ResultFilter(station="side"))] == [4]
    assert [r["seq"] for r in find(ResultFilter(verdicts=("fail", "undecided")))] == [3, 2]
    since = milliseconds(rfc3339(START + timedelta(seconds=2)))
    assert [r["seq"] for r in find(ResultFilter(since_ms=since, until_ms=since + 1000))] == [2]
    assert [r["seq"] for r in find(ResultFilter(part="p-0002"))] == [2]
    assert len(find(ResultFilter(part="p-"))) == 4
    assert find(ResultFilter(part="%")) == []


def test_types_are_counted_by_parts(bench: Bench) -> None:
    two = result(2, "fail")
    two["defects"] = [{**two["defects"][0], "type": name} for name in ("dent", "scratch", "dent")]
    vetoed = result(3, "fail")
    vetoed["defects"][0]["vetoed"] = True
    bench.add(result(1, "fail"), two, vetoed, result(4))
    assert bench.queries.pareto(ResultFilter()) == [("scratch", 2), ("dent", 1)]
    found = bench.queries.results(ResultFilter(type="dent"))
    assert [row["types"] for row in found] == [["dent", "scratch"]]
    assert bench.queries.results(ResultFilter(type="den")) == []


def test_the_trend_has_counts_and_means_of_each_stretch(bench: Bench) -> None:
    rows = [result(n, "fail" if n == 1 else "pass", score=float(n)) for n in (0, 1, 12)]
    rows[2]["score"] = None
    bench.add(*rows)
    first, second = bench.queries.trend(ResultFilter(), 10_000)
    assert first.since_ms == milliseconds(rfc3339(START))
    assert first.counts == {"pass": 1, "fail": 1, "undecided": 0, "error": 0}
    assert (first.score, second.score) == (0.5, None)
    assert second.since_ms - first.since_ms == 10_000


def test_scores_as_multiples_of_the_threshold_that_decided_on_each(bench: Bench) -> None:
    one = [result(n, score=0.3, threshold=0.6) for n in (0, 1)]
    bench.add(*one)
    assert not bench.queries.has_several_thresholds(ResultFilter())
    other = result(2, "fail", score=3.0, threshold=1.5)
    bench.add(other, result(3, score=None, threshold=None), result(4, score=1.0, threshold=0.0))
    assert bench.queries.has_several_thresholds(ResultFilter())
    assert bench.queries.scores(ResultFilter(), as_multiples=True) == [
        ("fail", 2.0), ("pass", 0.5), ("pass", 0.5),
    ]  # fmt: skip
    (stretch,) = bench.queries.trend(ResultFilter(), 10_000, as_multiples=True)
    assert stretch.score == 1.0


def test_the_results_beside_one_and_nearest_to_a_moment(bench: Bench) -> None:
    ids = bench.add(*[result(n) for n in range(3)])
    bench.add(result(1, station="side"))
    assert bench.queries.neighbours(ids[1]) == (ids[0], ids[2])
    assert bench.queries.neighbours(ids[0]) == (None, ids[1])
    moment = milliseconds(rfc3339(START + timedelta(seconds=1.5)))
    assert bench.queries.nearest("box", "top", moment) == ids[1]
    assert bench.queries.nearest("box", "top", 0) == ids[0]
    assert bench.queries.nearest("box", "none", 0) is None


def picture(frame_id: int = 7, **changes) -> Payload:
    return {
        **picture_payload(
            IDENTITY, "thumbnail", JPEG, camera="top", frame_id=frame_id, captured_at=START,
            verdict="fail", heat=JPEG + b"heat",
        ),
        **changes,
    }  # fmt: skip


def test_a_picture_is_found_by_its_frame(bench: Bench) -> None:
    bench.history.add_picture(picture())
    place = (IDENTITY.node, IDENTITY.station, "top", 7, rfc3339(START))
    assert bench.queries.picture(*place) == (JPEG, JPEG + b"heat")
    assert bench.queries.picture(*place, "view") is None


@pytest.mark.parametrize(
    "change",
    [
        {"jpeg": base64.b64encode(b"<svg onload=alert(1)>").decode()},
        {"jpeg": "not base64"},
        {"frame_id": "7"},
        {"purpose": "poster"},
        {"camera": None},
    ],
)
def test_what_is_no_picture_is_refused(bench: Bench, change: dict) -> None:
    with pytest.raises(ValueError, match="no picture"):
        bench.history.add_picture(picture(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"seq": "1"}, {"result": "good"}, {"views": []}, {"times": {"end": "yesterday"}},
        {"defects": [{"type": 5}]}, {"part": "p-1"}, {"score": "high"},
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(bench: Bench, change: dict) -> None:
    with pytest.raises(ValueError, match="no result"):
        bench.history.add_results([result(1), {**result(2), **change}])
    assert bench.queries.results(ResultFilter()) == []


def test_old_rows_go_and_so_do_those_beyond_the_limits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_age_s=3600, max_results=1000, max_picture_bytes=20 * len(JPEG))
    bench.add(*[result(n) for n in range(1100)])
    for n in range(30):
        ts = rfc3339(START + timedelta(seconds=n))
        bench.history.add_picture(picture(frame_id=n, ts=ts, heat=None))
    now_ms = milliseconds(rfc3339(START + timedelta(seconds=1100)))
    bench.history.prune(now_ms)
    assert sum(bench.queries.totals(ResultFilter()).values()) == 1000
    assert [row["seq"] for row in bench.queries.results(ResultFilter(), limit=1)] == [1099]
    place = (IDENTITY.node, IDENTITY.station, "top")
    capture = rfc3339(START)
    assert bench.queries.picture(*place, 0, capture) is None
    assert bench.queries.picture(*place, 29, capture) is not None
    bench.history.prune(now_ms + 3600_000)
    assert sum(bench.queries.totals(ResultFilter()).values()) == 0


def test_the_file_is_private_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert bench.file.path.stat().st_mode & 0o777 == 0o600
    with bench.file.writing() as db:
        db.execute("PRAGMA user_version = 99")
    bench.file.close()
    with pytest.raises(ConfigError, match="layout 99, expected 1"):
        HistoryFile(tmp_path / "data")
