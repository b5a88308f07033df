"""Server-sent events: says which numbers of which station are new, four times a second at most."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from edge.dashboard.live import LiveNews, News
from edge.dashboard.web.access import dashboard_of, needs

PAUSE_S = 0.25
# A comment so often keeps proxies from closing a silent connection.
KEEP_ALIVE_S = 15.0
MOST_PAGES = 200


@needs("viewer")
async def stream(request: Request) -> Response:
    """Serve the stream of one page."""
    news = dashboard_of(request).news
    if news.readers >= MOST_PAGES:
        return PlainTextResponse("too many open pages", 503, headers={"Retry-After": "30"})
    return StreamingResponse(
        _events(news), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _events(news: LiveNews) -> AsyncIterator[str]:
    reader = news.open()
    try:
        yield "retry: 2000\n\n"
        while True:
            found = await reader.take(KEEP_ALIVE_S)
            if not found:
                yield ": still here\n\n"
                continue
            for item in _newest(found):
                data = {"node": item.node, "station": item.station, **(item.data or {})}
                data.pop("result", None)  # the page asks for what it shows
                yield f"event: {item.kind}\ndata: {json.dumps(data)}\n\n"
            await asyncio.sleep(PAUSE_S)
    finally:
        news.close(reader)


def _newest(found: list[News]) -> list[News]:
    """Return the newest of each kind and station; pictures that were asked for are all kept."""
    kept: dict[tuple[object, ...], News] = {}
    for item in found:
        cmd_id = (item.data or {}).get("cmd_id")
        key = (item.kind, item.node, item.station, cmd_id)
        kept.pop(key, None)
        kept[key] = item
    return list(kept.values())
