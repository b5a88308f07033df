"""The report of a shift, for people and for spreadsheets, and the alerts that there were."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.history import milliseconds
from edge.dashboard.shift_report import StationShift, as_csv, shift_report
from edge.dashboard.web.access import dashboard_of, needs
from edge.dashboard.web.rendering import render

SHIFT_MS = 8 * 3600 * 1000
SHOWN_ALERTS = 200
_WRONG = "from, to: expected moments with a zone such as 2026-11-21T06:00:00Z, from before to"


@needs("viewer")
async def show(request: Request) -> Response:
    """Show a report."""
    return await asyncio.to_thread(_show, request)


@needs("viewer")
async def csv(request: Request) -> Response:
    """Return a report as CSV."""
    return await asyncio.to_thread(_csv, request)


@needs("viewer")
async def alerts(request: Request) -> Response:
    """List beginnings and ends of alerts, the newest first."""
    return await asyncio.to_thread(_alerts, request)


def _alerts(request: Request) -> Response:
    dashboard, asked = dashboard_of(request), request.query_params.get("station", "")
    node, _, station = asked.partition("/")
    rows = dashboard.history.alerts(node or None, station or None, SHOWN_ALERTS)
    return render(
        request, "alerts.html", rows=rows, asked=asked, stations=_station_names(dashboard)
    )


def _show(request: Request) -> Response:
    try:
        since_ms, until_ms = _span(request)
    except ValueError:
        return PlainTextResponse(_WRONG, 400)
    asked = request.query_params.get("station", "")
    return render(
        request,
        "shift.html",
        rows=_rows(request, since_ms, until_ms),
        since_ms=since_ms,
        until_ms=until_ms,
        asked=asked,
        stations=_station_names(dashboard_of(request)),
    )


def _csv(request: Request) -> Response:
    try:
        since_ms, until_ms = _span(request)
    except ValueError:
        return PlainTextResponse(_WRONG, 400)
    text = as_csv(_rows(request, since_ms, until_ms), since_ms, until_ms)
    return Response(
        "\ufeff" + text,  # Excel takes UTF-8 for what it is only with this mark
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="shift.csv"'},
    )


def _station_names(dashboard: Dashboard) -> list[str]:
    return [f"{now.node}/{now.station}" for now in dashboard.plant.stations()]


def _rows(request: Request, since_ms: int, until_ms: int) -> list[StationShift]:
    dashboard, asked = dashboard_of(request), request.query_params.get("station", "")
    names = [
        (now.node, now.station)
        for now in dashboard.plant.stations()
        if asked in ("", f"{now.node}/{now.station}")
    ]
    return shift_report(dashboard.history, names, since_ms, until_ms)


def _span(request: Request) -> tuple[int, int]:
    """Return the moments of the query; the last eight hours without them."""
    query, now_ms = request.query_params, int(time.time() * 1000)
    until_ms = milliseconds(query["to"]) if query.get("to") else now_ms
    since_ms = milliseconds(query["from"]) if query.get("from") else until_ms - SHIFT_MS
    if since_ms >= until_ms:
        raise ValueError("from: expected a moment before to")
    return since_ms, until_ms
