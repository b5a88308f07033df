"""The plant at a glance, and one station: what it does now, and its numbers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from edge.config.values import NAME
from edge.dashboard.history import milliseconds
from edge.dashboard.history_queries import ResultFilter
from edge.dashboard.plant import StationNow
from edge.dashboard.shown import RESULT, shown
from edge.dashboard.station_numbers import (
    STRETCHES,
    WINDOWS,
    drift,
    histogram,
    reject_rate,
    trend,
)
from edge.dashboard.web.access import dashboard_of, needs
from edge.dashboard.web.pictures import pictures_of
from edge.dashboard.web.rendering import render

HOUR_MS = 3600 * 1000
SHOWN_REJECTS = 12
# Parts of a page that are loaded again when something happened.
PANELS = ("now", "numbers", "alerts", "health", "rejects")


@needs("viewer")
async def plant(request: Request) -> Response:
    """Show all stations."""
    return await asyncio.to_thread(_plant, request, "plant.html")


@needs("viewer")
async def plant_cards(request: Request) -> Response:
    """Show all stations, as part of a page."""
    return await asyncio.to_thread(_plant, request, "plant_cards.html")


@needs("viewer")
async def station(request: Request) -> Response:
    """Show one station."""
    return await asyncio.to_thread(_station, request, "station.html")


@needs("viewer")
async def panel(request: Request) -> Response:
    """Show one panel of a station, as part of a page."""
    name = request.path_params["panel"]
    if name not in PANELS:
        return PlainTextResponse("no such panel", 404)
    return await asyncio.to_thread(_station, request, f"panel_{name}.html")


@needs("viewer")
async def charts(request: Request) -> Response:
    """Return the columns that the charts of a station draw."""
    return await asyncio.to_thread(_charts, request)


@needs("viewer")
async def moment(request: Request) -> Response:
    """Go to what a station judged at a moment."""
    node, name = _names(request)
    try:
        at_ms = milliseconds(request.query_params.get("at", ""))
    except ValueError:
        return PlainTextResponse("at: expected a moment such as 2026-11-21T10:15:02Z", 400)
    history = dashboard_of(request).history
    found = await asyncio.to_thread(history.nearest, node, name, at_ms)
    return RedirectResponse(f"/result/{found}" if found else f"/station/{node}/{name}", 303)


def _plant(request: Request, template: str) -> Response:
    dashboard = dashboard_of(request)
    since_ms = int(time.time() * 1000) - HOUR_MS
    cards = []
    for now in dashboard.plant.stations():
        wanted = ResultFilter(node=now.node, station=now.station, since_ms=since_ms)
        counts = dashboard.history.totals(wanted)
        card = {"now": now, "counts": counts, "rate": reject_rate(counts)}
        pictures = pictures_of(now.last) if now.last else []
        card["camera"] = pictures[0].camera if pictures else ""
        cards.append({**card, "last": now.last["result"] if now.last else "none"})
    return render(request, template, cards=cards)


def _station(request: Request, template: str) -> Response:
    now = _find(request)
    if now is None:
        return render(request, "not_found.html", 404)
    dashboard, window = dashboard_of(request), _window(request)
    name = template.removeprefix("panel_").removesuffix(".html")
    values: dict[str, Any] = {"now": now, "window": window, "windows": tuple(WINDOWS)}
    wanted = _recent(now, WINDOWS[window])
    if name in ("numbers", "station"):
        counts = dashboard.history.totals(wanted)
        values |= {
            "counts": counts,
            "rate": reject_rate(counts),
            "pareto": dashboard.history.pareto(wanted)[:8],
            "drift": _drift(request, now),
        }
    if name in ("rejects", "station"):
        rejects = ResultFilter(now.node, now.station, verdicts=("fail", "undecided", "error"))
        values["rejects"] = dashboard.history.results(rejects, SHOWN_REJECTS)
    if name in ("now", "station"):
        values["last"] = shown(now.last, RESULT) if now.last else None
        values["pictures"] = pictures_of(now.last) if now.last else []
        values["row_id"] = now.last_id
    return render(request, template, **values)


def _charts(request: Request) -> Response:
    now = _find(request)
    if now is None:
        return PlainTextResponse("no such station", 404)
    seconds = WINDOWS[_window(request)]
    history, wanted = dashboard_of(request).history, _recent(now, seconds)
    # Scores of views and types with thresholds of their own have no other scale in common.
    several = history.has_several_thresholds(wanted)
    threshold = 1.0 if several else now.state["threshold"]
    buckets = history.trend(wanted, seconds * 1000 // STRETCHES, as_multiples=several)
    return JSONResponse(
        {
            "trend": trend(buckets),
            "histogram": histogram(history.scores(wanted, as_multiples=several), threshold),
            "threshold": threshold,
            "as_multiples": several,
        }
    )


def _drift(request: Request, now: StationNow) -> float | None:
    """Compare the scores of the last hour with those of the hour before."""
    history, present_ms = dashboard_of(request).history, int(time.time() * 1000)
    names = (now.node, now.station)
    recent = ResultFilter(*names, since_ms=present_ms - HOUR_MS)
    before = ResultFilter(*names, since_ms=present_ms - 2 * HOUR_MS, until_ms=recent.since_ms)
    old, new = ([score for _, score in history.scores(each)] for each in (before, recent))
    return drift(old, new)


def _recent(now: StationNow, seconds: int) -> ResultFilter:
    since_ms = int(time.time() * 1000) - seconds * 1000
    return ResultFilter(node=now.node, station=now.station, since_ms=since_ms)


def _find(request: Request) -> StationNow | None:
    return dashboard_of(request).plant.station(*_names(request))


def _names(request: Request) -> tuple[str, str]:
    names = request.path_params["node"], request.path_params["station"]
    return names if all(NAME.fullmatch(name) for name in names) else ("", "")


def _window(request: Request) -> str:
    window = request.query_params.get("window", "1h")
    return window if window in WINDOWS else "1h"
