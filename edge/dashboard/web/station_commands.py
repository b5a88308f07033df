"""Commands to stations, through the commands over MQTT that docs/mqtt.md describes."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edge.config.commands import COMMANDS
from edge.config.values import NAME
from edge.dashboard.web.access import dashboard_of, needs
from edge.dashboard.web.rendering import render

log = logging.getLogger(__name__)
LONGEST = 200


@needs("viewer", is_change=True)
async def send(request: Request) -> Response:
    """Send a command and say what became of it."""
    form = {key: str(value).strip()[:LONGEST] for key, value in (await request.form()).items()}
    node, station = request.path_params["node"], request.path_params["station"]
    name, visitor = form.get("command", ""), request.state.visitor
    if name not in COMMANDS or not (NAME.fullmatch(node) and NAME.fullmatch(station)):
        return PlainTextResponse("no such command", 404)
    if not visitor.may_send(name):
        return PlainTextResponse(visitor.words("page.not_allowed"), 403)
    spec = COMMANDS[name]
    args = {key: form[key] for key in (*spec.required, *spec.optional) if form.get(key)}
    if problem := spec.argument_problem(args):
        return PlainTextResponse(problem, 400)
    by = visitor.account.name
    log.info("command sent name=%s node=%s station=%s by=%s", name, node, station, by)
    try:
        answer = await asyncio.wrap_future(
            dashboard_of(request).listener.ask(node, station, name, args, f"{by} (dashboard)")
        )
    except TimeoutError:
        return render(request, "answer.html", status_word="timeout", message="")
    return render(
        request,
        "answer.html",
        status_word=str(answer["status"]),
        message=str(answer.get("message", ""))[:300],
    )
