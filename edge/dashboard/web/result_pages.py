"""One result with its views and reviews; lists of results; reviews as they are given."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from edge.dashboard.history_queries import ResultFilter
from edge.dashboard.reviews import Review, agreed
from edge.dashboard.shown import RESULT, shown
from edge.dashboard.web.access import dashboard_of, needs
from edge.dashboard.web.pictures import pictures_of
from edge.dashboard.web.rendering import render
from edge.messages.payload import Payload
from edge.result import VERDICTS

log = logging.getLogger(__name__)
PAGE = 50
SHOWN_REVIEWS = 200


@needs("viewer")
async def result(request: Request) -> Response:
    """Show one result."""
    return await asyncio.to_thread(_result, request)


@needs("viewer")
async def as_json(request: Request) -> Response:
    """Return the payload as the station published it."""
    found = await asyncio.to_thread(dashboard_of(request).history.result, request.path_params["id"])
    return JSONResponse(found) if found else PlainTextResponse("no such result", 404)


@needs("viewer")
async def search(request: Request) -> Response:
    """List results by part, verdict and type."""
    return await asyncio.to_thread(_search, request)


@needs("viewer")
async def reviews(request: Request) -> Response:
    """List what people said of results, the newest parts first."""
    return await asyncio.to_thread(_reviews, request)


@needs("operator", is_change=True)
async def review(request: Request) -> Response:
    """Keep what somebody says of a result."""
    form = await request.form()
    text = {key: str(value) for key, value in form.items()}
    row_id = request.path_params["id"]
    dashboard = dashboard_of(request)
    payload = await asyncio.to_thread(dashboard.history.result, row_id)
    if payload is None:
        return render(request, "not_found.html", 404)
    try:
        said = _read_review(text, request.state.visitor.account.name)
        await asyncio.to_thread(dashboard.reviews.add, payload, said)
    except ValueError as error:
        return PlainTextResponse(str(error), 400)
    except OSError as error:
        log.exception("review not kept")
        return PlainTextResponse(f"the review could not be written: {error.strerror}", 507)
    await asyncio.to_thread(_keep_frames, request, payload)
    return RedirectResponse(f"/result/{row_id}?saved=1#review", 303)


def _result(request: Request) -> Response:
    dashboard, row_id = dashboard_of(request), request.path_params["id"]
    payload = dashboard.history.result(row_id)
    if payload is None:
        return render(request, "not_found.html", 404)
    before, after = dashboard.history.neighbours(row_id)
    said = dashboard.reviews.of(payload)
    info = dashboard.plant.station(payload["node"], payload["station"])
    return render(
        request,
        "result.html",
        result=shown(payload, RESULT),
        row_id=row_id,
        pictures=pictures_of(payload),
        before=before,
        after=after,
        reviews=said,
        is_agreed=agreed(said),
        known_types=_known_types(payload, info.info["recipe"]["defect_types"] if info else []),
        is_saved=request.query_params.get("saved") == "1",
    )


def _search(request: Request) -> Response:
    query = request.query_params
    verdict, kind = query.get("verdict", ""), query.get("type", "").strip()
    wanted = ResultFilter(
        node=query.get("node") or None,
        station=query.get("station") or None,
        verdicts=(verdict,) if verdict in VERDICTS else (),
        type=kind or None,
        part=query.get("part", "").strip()[:200] or None,
    )
    rows = dashboard_of(request).history.results(wanted, PAGE, _before(query.get("before", "")))
    last = rows[-1] if len(rows) == PAGE else None
    return render(
        request,
        "search.html",
        rows=rows,
        asked={name: query.get(name, "") for name in ("part", "verdict", "type")},
        station_asked={name: query.get(name, "") for name in ("node", "station")},
        verdicts=VERDICTS,
        next_before=f"{last['at_ms']},{last['id']}" if last else "",
    )


def _reviews(request: Request) -> Response:
    rows = []
    for payload, said in dashboard_of(request).reviews.all():
        row = {"result": shown(payload, RESULT), "reviews": said, "is_agreed": agreed(said)}
        rows.append(row)
        if len(rows) >= SHOWN_REVIEWS:
            break
    return render(request, "reviews.html", rows=rows)


def _keep_frames(request: Request, payload: Payload) -> None:
    """Keep the best pictures that are here; the raw frame is asked for by the page."""
    dashboard = dashboard_of(request)
    for view in pictures_of(payload):
        place = (payload["node"], payload["station"], view.camera, view.frame_id, view.capture)
        for purpose in ("raw", "thumbnail"):
            kept = dashboard.history.picture(*place, purpose)
            if kept is not None:
                dashboard.reviews.add_frame(payload, view.camera, kept[0], f"-{purpose}.jpg")
                break


def _read_review(text: Mapping[str, str], by: str) -> Review:
    try:
        points = json.loads(text.get("polygon") or "[]")
        polygon = tuple((float(x), float(y)) for x, y in points)
    except (ValueError, TypeError):
        raise ValueError("polygon: expected points such as [[1, 2], [3, 4], [5, 6]]") from None
    return Review(
        by=by,
        judgement=text.get("judgement", ""),
        type=" ".join(text.get("type", "").split()),
        polygon_xy=polygon,
        camera=text.get("camera", ""),
        note=" ".join(text.get("note", "").split()),
    )


def _before(text: str) -> tuple[int, int] | None:
    at_ms, _, row_id = text.partition(",")
    return (int(at_ms), int(row_id)) if at_ms.isdecimal() and row_id.isdecimal() else None


def _known_types(payload: Payload, of_bundle: list[str]) -> list[str]:
    """Return the types of the station's bundle and of this result."""
    found = {defect["type"] for defect in shown(payload, RESULT)["defects"]}
    return sorted({*of_bundle, *found} - {"", "unknown"})
