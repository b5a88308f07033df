"""Pictures of a result: small ones from the history, large ones from the station on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

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
        regions: with type, box and polygon.
    """

    camera: str
    frame_id: int
    capture: str
    verdict: str
    width: int
    height: int
    regions: list[dict[str, Any]]


def pictures_of(result: Payload) -> list[ViewPicture]:
    """Return the views of a result, the one that decides first."""
    views = sorted(result["views"], key=lambda view: view["name"] != result.get("view"))
    return [
        ViewPicture(
            camera=view["camera"],
            frame_id=view["frame_id"],
            capture=view.get("capture", result["times"]["capture"]),
            verdict=view.get("result", result["result"]),
            width=view["width"] or 1,
            height=view["height"] or 1,
            regions=[
                {**region, "type": defect["type"], "vetoed": bool(defect.get("vetoed"))}
                for defect in view.get("defects", result["defects"])
                for region in defect["regions"]
                if region["view"] in (view["name"], view["camera"])
            ],
        )
        for view in views
    ]


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
