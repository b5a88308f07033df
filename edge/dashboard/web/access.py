"""Who asks, in which language, and whether they may: in front of every page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.dashboard.accounts import Account
from edge.dashboard.dashboard import Dashboard
from edge.dashboard.sessions import Session
from edge.dashboard.translation import Words, choose_language

COOKIE = "edge-session"
LANGUAGE_COOKIE = "edge-language"
# A drawing and a note take a few kB.
MOST_BYTES = 256 * 1024
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Attributes:
        account: None for somebody who has not signed in; they may look where the dashboard asks
            nobody to sign in.
        csrf: has to come with every form; empty without a session.
        words: of their language.
    """

    account: Account | None
    csrf: str
    words: Words

    def may(self, role: str) -> bool:
        """Tell whether they have a role; who did not sign in has none but the viewer's."""
        return role == "viewer" if self.account is None else self.account.may(role)

    def may_send(self, command: str) -> bool:
        """Tell whether they may send a command to a station."""
        return self.account is not None and self.account.may_send(command)


class SecurityHeaders:
    """Adds headers that keep browsers from doing what these pages never ask for."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        length = Headers(scope=scope).get("content-length")
        if length is None:
            receive = _bounded(receive)
        elif not _is_bounded(length):
            await PlainTextResponse("too large", 413)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _is_bounded(length: str) -> bool:
    is_short = length.isdecimal() and len(length) <= len(str(MOST_BYTES))
    return is_short and int(length) <= MOST_BYTES


def _bounded(receive: Receive) -> Receive:
    """Return `receive` for a body that does not say how long it is."""
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BYTES:
            raise HTTPException(413, "too large")
        return message

    return receive_some


def visitor_of(request: Request) -> Visitor:
    """Return who asks."""
    dashboard = dashboard_of(request)
    language = choose_language(
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
        dashboard.settings.language,
    )
    session = session_of(request)
    account = dashboard.accounts.find(session.name) if session else None
    if session and account and account.stamp != session.stamp:
        account = None
    csrf = session.csrf if session and account else ""
    return Visitor(account, csrf, Words(language))


def session_of(request: Request) -> Session | None:
    """Return the session of the request's cookie."""
    return dashboard_of(request).sessions.find(request.cookies.get(COOKIE, ""))


def dashboard_of(request: Request) -> Dashboard:
    """Return the dashboard that serves the request."""
    dashboard: Dashboard = request.app.state.dashboard
    return dashboard


def needs(role: str, *, is_change: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Let only accounts with a role at an endpoint; a change also needs a form of our own."""

    def wrap(endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            visitor = visitor_of(request)
            request.state.visitor = visitor
            if visitor.account is None and (dashboard_of(request).settings.sign_in or is_change):
                return _to_sign_in(request)
            if not visitor.may(role):
                return PlainTextResponse(visitor.words("page.not_allowed"), 403)
            if is_change and not await _is_own_form(request):
                return PlainTextResponse("this form is not of this page; reload it", 403)
            return await endpoint(request)

        return guarded

    return wrap


def is_same_origin(request: Request) -> bool:
    """Tell whether a form was sent from this site, as far as the browser says."""
    said = request.headers.get("sec-fetch-site")
    if said is not None:
        return said in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _is_own_form(request: Request) -> bool:
    session = session_of(request)
    if session is None or not is_same_origin(request):
        return False
    given = request.headers.get("x-csrf") or (await request.form()).get("csrf", "")
    return session.has_csrf(str(given))


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET" or request.headers.get("hx-request"):
        return PlainTextResponse("sign in", 401, headers={"HX-Redirect": "/login"})
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
