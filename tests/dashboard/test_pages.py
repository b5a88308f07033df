"""What pages show of payloads: everything escaped, and nothing that a payload may hold ends one."""

from __future__ import annotations

import asyncio
import copy
import html
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.settings import DashboardSettings
from edge.dashboard.web.app import make_app
from edge.messages.identity import rfc3339
from edge.messages.message import Message
from edge.messages.payload import (
    alert_payload,
    alerts_payload,
    counters_payload,
    health_payload,
    info_payload,
    state_payload,
    status_payload,
)
from tests.dashboard.test_history import picture, result
from tests.support.dashboards import ROOT, TOP
from tests.support.mqtt_results import MODEL

SINCE = "2026-11-21T10:00:00.000Z"
EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)")
PANELS = ("now", "numbers", "alerts", "health", "rejects")


class Pages:
    """The pages of a dashboard that hears what it is given; asked without a server between."""

    def __init__(self, folder: Path):
        self.dashboard = Dashboard(DashboardSettings(folder=folder, sign_in=False))
        self._app = make_app(self.dashboard)

    def hear(self, topic: str, payload: dict) -> None:
        """Give a message to the listener, as its connection does."""
        data = json.dumps(payload).encode()
        self.dashboard.listener._hear(Message(f"{ROOT}/box/{topic}", data, False))

    def get(self, path: str) -> tuple[int, str]:
        """Ask the application; its errors are raised here."""
        sent: list[dict] = []
        scope = {
            "type": "http", "method": "GET", "http_version": "1.1", "scheme": "http",
            "path": path.partition("?")[0], "raw_path": path.encode(), "root_path": "",
            "query_string": path.partition("?")[2].encode(), "headers": [], "client": ("::1", 1),
        }  # fmt: skip

        async def receive() -> dict:
            return {"type": "http.request", "body": b""}

        async def send(message: dict) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        body = b"".join(each.get("body", b"") for each in sent)
        return sent[0]["status"], body.decode("utf-8", "replace")

    def all(self) -> dict[str, str]:
        """Return every page of the station, each of which must be there."""
        last = self.dashboard.plant.station("box", "top").last_id
        base = "/station/box/top"
        paths = [
            base,
            *(f"{base}/panel/{name}" for name in PANELS),
            f"{base}/charts",
            "/",
            "/plant",
        ]
        paths += ["/search", "/reviews", "/alerts", "/shift", "/shift.csv"]
        if last:
            paths += [f"/result/{last}", f"/result/{last}.json"]
        found = {}
        for path in paths:
            status, found[path] = self.get(path)
            assert status == 200, path
        return found


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    it = Pages(tmp_path / "data")
    yield it
    it.dashboard.stop()


def everything() -> dict[str, dict]:
    """One payload of each kind, as a station publishes it, by topic."""
    alert = {
        "code": "camera_lost", "severity": "error", "since": SINCE, "detail": "no frame", "count": 2
    }  # fmt: skip
    camera = {"name": "top", "connected": True, "fps": 12.5}
    return {
        "status": status_payload(TOP, "online", "1"),
        "info": info_payload(TOP, MODEL, {}, recipes=["housing", "lid"]),
        "top/state": state_payload(
            TOP, "operational", mode="ready", model=MODEL, threshold=0.61, camera=camera
        ),
        "top/counters": counters_payload(TOP, {"pass": 3}, last_seq=3, lost=0, pending=1),
        "health": health_payload(
            TOP, uptime_s=5, camera=camera, latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
            drops={"overrun": 4}, mqtt={}, host={},
        ),
        "top/alert": alert_payload(TOP, state="raised", **alert),
        "top/alert/active": alerts_payload(TOP, [alert]),
        "top/result": result(1, "fail"),
        "top/picture": picture(node="box", station="top"),
    }  # fmt: skip


def test_a_station_is_shown_with_all_it_says(pages: Pages) -> None:
    for topic, payload in everything().items():
        pages.hear(topic, payload)
    shown = pages.all()
    station = html.unescape(shown["/station/box/top"])
    for words in (
        "FAIL", "p-0001", "0.830", "0.610", "scratch", "Score above the threshold", "camera_lost",
        "no frame", "12.5 /s", "p50 1.0 · p95 2.0 · p99 3.0 ms", "housing-42-top 14",
        "onnxruntime fp32",
    ):  # fmt: skip
        assert words in station, words
    assert "camera_lost" in shown["/alerts"]
    assert "raised · error" in shown["/alerts"]


@pytest.mark.parametrize("evil", EVIL)
def test_what_came_is_text_everywhere(pages: Pages, evil: str) -> None:
    said = everything()
    said["top/result"] |= {"detail": evil, "reason": evil, "product_id": evil}
    said["top/result"]["part"]["id"] = evil
    said["top/result"]["views"][0] |= {"name": evil, "camera": evil}
    for defect in said["top/result"]["defects"]:
        defect["type"] = evil
        defect["regions"] = [{**each, "view": evil, "finding": evil} for each in defect["regions"]]
    for alert in said["top/alert/active"]["alerts"]:
        alert.update(dict.fromkeys(("code", "severity", "since", "detail"), evil))
        alert["acknowledged"] = {"by": evil}
    said["top/alert"] |= dict.fromkeys(("code", "severity", "state", "detail"), evil)
    said["top/state"] |= {"state": evil, "mode": evil, "camera": {"name": evil}}
    said["info"]["recipes"] = [evil]
    for topic, payload in said.items():
        pages.hear(topic, payload)
    assert pages.dashboard.listener.invalid == 0
    shown = pages.all()
    for path, text in shown.items():
        if path.endswith((".json", ".csv", "charts")):
            continue
        assert evil not in text, path
    assert evil in html.unescape(shown["/station/box/top"])
    status, text = pages.get(f"/search?part={evil}&type={evil}&verdict={evil}&before={evil}")
    assert status == 200
    assert evil not in text


def test_a_review_is_text_too(pages: Pages) -> None:
    from edge.dashboard.reviews import Review

    pages.hear("top/result", result(1, "fail"))
    said = Review("anna", "wrong_type", type=EVIL[1], note=EVIL[0])
    pages.dashboard.reviews.add(result(1, "fail"), said)
    for path in ("/result/1", "/reviews"):
        status, text = pages.get(path)
        assert status == 200
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "Wrong type" in text


def test_names_that_spreadsheets_calculate_are_text(pages: Pages) -> None:
    said = result(1, "fail")
    said["defects"][0]["type"] = '=HYPERLINK("http://evil")'
    pages.hear("top/result", said)
    _, text = pages.get("/shift.csv?from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z")
    assert "'=HYPERLINK" in text


def test_a_result_of_several_views_shows_each(pages: Pages) -> None:
    said = result(1, "fail")
    (view,), (defect,) = said["views"], said["defects"]
    found = [{**defect, "type": "dent", "regions": [{**defect["regions"][0], "view": "side"}]}]
    side = {"name": "side", "camera": "side", "result": "fail", "reason": "score_above_threshold"}
    top = {"result": "pass", "reason": "score_below_threshold", "defects": [], "score": 0.2}
    said |= {"view": "side", "views": [{**view, **top}, {**view, **side, "defects": found}]}
    said["defects"] = found
    pages.hear("top/result", said)
    pages.all()
    _, text = pages.get("/result/1")
    assert text.index('data-camera="side"') < text.index('data-camera="top"'), "the worst first"
    assert text.count("<rect") == 1
    assert "Score below the threshold" in text


def test_views_are_shown_with_their_own_thresholds(pages: Pages) -> None:
    cameras = [
        {"name": name, "is_optional": False, "connected": True, "threshold": threshold}
        for name, threshold in (("top", 0.25), ("side", 0.75))
    ]
    state = everything()["top/state"]
    pages.hear("top/state", {**state, "cameras": cameras})
    moment = rfc3339(datetime.now(timezone.utc))
    for seq, (score, threshold) in enumerate(((0.5, 0.25), (0.375, 0.75)), 1):
        said = result(seq, score=score, threshold=threshold)
        said["times"] |= {"capture": moment, "end": moment}
        pages.hear("top/result", said)
    _, text = pages.get("/station/box/top/panel/health")
    assert "top 0.250 · side 0.750" in text
    charts = json.loads(pages.get("/station/box/top/charts")[1])
    assert (charts["as_multiples"], charts["threshold"]) == (True, 1.0)
    assert charts["histogram"]["edges"][0] == 0.5
    assert [score for score in charts["trend"]["score"] if score is not None] == [1.25]


def test_regions_that_were_vetoed_are_drawn_apart(pages: Pages) -> None:
    said = result(1)
    said["defects"] = [{**result(2, "fail")["defects"][0], "vetoed": True}]
    pages.hear("top/result", said)
    _, text = pages.get("/result/1")
    assert 'class="vetoed"' in text
    _, text = pages.get("/station/box/top/panel/now")
    assert "· <strong>scratch" not in text, "a vetoed type is none of the part's"


@pytest.mark.parametrize("kind", [*everything()])
def test_a_station_that_says_nothing_of_itself_is_shown(pages: Pages, kind: str) -> None:
    """Each kind of payload by itself, and with no more than its head."""
    said = everything()[kind]
    pages.hear(kind, said)
    bare = {name: said[name] for name in ("schema", "node", "station")}
    pages.hear("top/counters", counters_payload(TOP, {}, last_seq=0, lost=0, pending=0))
    pages.hear(kind, bare)
    pages.all()


NULLS = ("score", "threshold", "p_value", "part", "detail", "recipe", "model", "product_id", "view")


def test_a_result_with_nothing_but_a_verdict_is_shown(pages: Pages) -> None:
    said = {**result(1, "fail"), **dict.fromkeys(NULLS)}
    said["times"] = {**said["times"], "total_ms": None}
    said["views"] = [{**said["views"][0], "width": None, "height": 0, "mm_per_px": None}]
    pages.hear("top/result", said)
    assert pages.dashboard.plant.station("box", "top").last_id == 1
    pages.all()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.sampled_from(["", "top", "<b>", "%s", "é\ud800"[:1], "-"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["a", "type", "regions", "bbox", "name", "camera", "p50", "by", "id"]),
        inner, max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> list[tuple[str, dict]]:
    """All that a station says, with some fields exchanged for anything or left out."""
    said = copy.deepcopy(everything())
    for _ in range(draw(st.integers(1, 4))):
        place: dict | list = said[draw(st.sampled_from([*said]))]
        for _ in range(draw(st.integers(0, 4))):
            inner = [
                key for key, value in _items(place) if isinstance(value, dict | list) and value
            ]
            if not inner:
                break
            place = place[draw(st.sampled_from(inner))]
        key = draw(st.sampled_from([key for key, _ in _items(place)]))
        if draw(st.booleans()) and isinstance(place, dict):
            del place[key]
        else:
            place[key] = draw(VALUES)
        if isinstance(place, dict) and not place:
            break
    return [*said.items()]


def _items(place: dict | list) -> list[tuple]:
    return [*(place.items() if isinstance(place, dict) else enumerate(place))]


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(damaged())
def test_no_payload_ends_a_page(pages: Pages, said: list[tuple[str, dict]]) -> None:
    pages.hear("status", status_payload(TOP, "online", "1"))
    pages.hear("top/counters", counters_payload(TOP, {}, last_seq=0, lost=0, pending=0))
    for topic, payload in said:
        pages.hear(topic, payload)
    pages.all()


def test_every_key_is_known_in_every_language() -> None:
    from edge.dashboard.translation import LANGUAGES, _table

    english = set(_table("en"))
    for language in LANGUAGES:
        assert set(_table(language)) == english, language


def test_a_request_is_of_this_site_by_what_the_browser_says_first() -> None:
    from edge.dashboard.web.access import is_same_origin

    def asked(**headers: str) -> Request:
        named = [(name.replace("_", "-").encode(), it.encode()) for name, it in headers.items()]
        app = SimpleNamespace(state=SimpleNamespace())
        return Request({"type": "http", "headers": named, "app": app})

    assert is_same_origin(asked(host="page", origin="https://page"))
    assert is_same_origin(asked(host="page"))
    assert not is_same_origin(asked(host="page", origin="null"))
    assert not is_same_origin(asked(host="page", origin="https://page.evil"))
    assert not is_same_origin(asked(host="page", origin="https://page", sec_fetch_site="same-site"))
