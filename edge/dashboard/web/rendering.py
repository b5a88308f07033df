"""Templates with the words and the visitor in them."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from edge.dashboard.translation import LANGUAGES
from edge.dashboard.web.access import dashboard_of, visitor_of


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page; everything in it is escaped unless the template says otherwise."""
    visitor = getattr(request.state, "visitor", None) or visitor_of(request)
    html = (
        _environment()
        .get_template(template)
        .render(
            visitor=visitor,
            words=visitor.words,
            languages=LANGUAGES,
            path=request.url.path,
            query=request.url.query,
            listener=dashboard_of(request).listener,
            sign_in=dashboard_of(request).settings.sign_in,
            **values,
        )
    )
    return HTMLResponse(html, status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edge.dashboard"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "percent": _percent, "moment": _moment}
    return environment


def _number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "–"


def _percent(value: Any) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, (int, float)) else "–"


def _moment(at_ms: Any) -> str:
    """Write milliseconds since 1970 as RFC 3339; the browser shows its own time."""
    if not isinstance(at_ms, (int, float)):
        return ""
    moment = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
