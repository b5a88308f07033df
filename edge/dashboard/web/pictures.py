"""Pictures of a result: small ones from the history, large ones from the station on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge.dashboard.shown import RESULT, shown
from edge.dashboard.web.access import dashboard_of, needs
from edge.messages.payload import Payload

FOREVER = "private, max-age=31536000, immutable"
# A small picture may come a moment after its result.
NOT_YET = "no-store"
PURPOSES = ("thumbnail", "view", "raw")


@dataclass(frozen=True, slots=True)
class ViewPicture:
    """One view of a part, to be drawn.

    Attributes:
        camera: its name.
        frame_id, capture: of its frame, as the picture repeats them.
        verdict: of the view.
        width, height: of the frame in pixels; boxes are drawn in these.
        regions: with type and box.
        reason, score, threshold: of this view; no reason where it is the only one.
    """

    camera: str
    frame_id: int
    capture: str
    verdict: str
    width: int
    height: int
    regions: list[dict[str, Any]]
    reason: str = ""
    score: float | None = None
    threshold: float | None = None


def pictures_of(result: Payload) -> list[ViewPicture]:
    """Return the views of a result, the one that decides first."""
    result = shown(result, RESULT)
    views = sorted(result["views"], key=lambda view: bool(view["name"] != result["view"]))
    return [
        ViewPicture(
            camera=view["camera"],
            frame_id=view["frame_id"] or 0,
            capture=view["capture"] or result["times"]["capture"],
            verdict=view["result"] or result["result"],
            # Each of several views says what was found in it; a single one leaves it to the result.
            reason=view["reason"] if len(views) > 1 else "",
            score=view["score"],
            threshold=view["threshold"],
            width=max(1, view["width"] or 1),
            height=max(1, view["height"] or 1),
            regions=[
                {**region, "type": defect["type"], "vetoed": defect["vetoed"]}
                for defect in (view["defects"] if view["result"] else result["defects"])
                for region in defect["regions"]
                if region["view"] in (view["name"], view["camera"]) and _is_box(region["bbox"])
            ],
        )
        for view in views
    ]


def _is_box(bbox_xywh: list[float | None]) -> bool:
    numbers = [value for value in bbox_xywh if value is not None]
    return len(bbox_xywh) == len(numbers) == 4 and min(numbers[2:]) >= 0


@needs("viewer")
async def picture(request: Request) -> Response:
    """Return a picture of a result as JPEG; `form` is thumbnail, heat, view or raw."""
    found = await _view(request)
    if found is None:
        return PlainTextResponse("no such view", 404)
    result, view = found
    form = request.path_params["form"]
    is_heat = form == "heat"
    purpose = "thumbnail" if is_heat else form
    if purpose not in PURPOSES:
        return PlainTextResponse("no such picture", 404)
    kept = await asyncio.to_thread(
        dashboard_of(request).history.picture,
        result["node"], result["station"], view.camera, view.frame_id, view.capture, purpose,
    )  # fmt: skip
    data = None if kept is None else kept[1] if is_heat else kept[0]
    if data is None:
        return PlainTextResponse("no picture", 404, headers={"cache-control": NOT_YET})
    return Response(data, media_type="image/jpeg", headers={"cache-control": FOREVER})


@needs("viewer", is_change=True)
async def fetch(request: Request) -> Response:
    """Ask the station for a picture of its archive; answers once it is here, or why it is not."""
    found = await _view(request)
    form = request.path_params["form"]
    if found is None or form not in ("view", "raw"):
        return JSONResponse({"problem": "no such picture"}, 404)
    result, view = found
    dashboard, visitor = dashboard_of(request), request.state.visitor
    args = {
        "camera": view.camera, "frame_id": str(view.frame_id), "capture": view.capture,
        "result": view.verdict, "form": form,
    }  # fmt: skip
    asked = dashboard.listener.ask(
        result["node"], result["station"], "get_picture", args, visitor.account.name
    )
    try:
        answer = await asyncio.wrap_future(asked)
    except TimeoutError:
        return JSONResponse({"problem": visitor.words("answer.timeout")}, 504)
    if answer["status"] != "done":
        return JSONResponse({"problem": str(answer.get("message", ""))[:300]}, 404)
    return JSONResponse({})


async def _view(request: Request) -> tuple[Payload, ViewPicture] | None:
    history = dashboard_of(request).history
    result = await asyncio.to_thread(history.result, request.path_params["id"])
    if result is None:
        return None
    camera = request.path_params["camera"]
    found = [view for view in pictures_of(result) if view.camera == camera]
    return (result, found[0]) if found else None
