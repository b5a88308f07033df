"""Signing in and out, and choosing a language."""

from __future__ import annotations

import asyncio
import logging
import math

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.translation import LANGUAGES
from edge.dashboard.web.access import (
    COOKIE,
    LANGUAGE_COOKIE,
    dashboard_of,
    is_same_origin,
    session_of,
    visitor_of,
)
from edge.dashboard.web.rendering import render
from edge.printable_text import escaped

log = logging.getLogger(__name__)
YEAR_S = 365 * 86400


async def show_sign_in(request: Request) -> Response:
    """Show the form."""
    return _form(request, "")


async def sign_in(request: Request) -> Response:
    """Begin a session, or say why not."""
    dashboard, words = dashboard_of(request), visitor_of(request).words
    if not is_same_origin(request):
        return PlainTextResponse("this form is not of this page", 403)
    form = await request.form()
    name, password = str(form.get("name", ""))[:64], str(form.get("password", ""))
    keys = (f"name:{name}", f"address:{_address(request, dashboard)}")
    wait_s = dashboard.sign_in_limit.attempt(*keys)
    if wait_s > 0:
        return _form(request, words("page.too_many", seconds=math.ceil(wait_s)), 429)
    account = await asyncio.to_thread(dashboard.accounts.verify, name, password)
    if account is None:
        log.warning("sign-in refused name=%s address=%s", escaped(name), keys[1][8:])
        return _form(request, words("page.wrong_password"), 401)
    dashboard.sign_in_limit.succeeded(*keys)
    session = dashboard.sessions.open(account.name, account.stamp)
    log.info("signed in name=%s role=%s", account.name, account.role)
    response = RedirectResponse(_local(request.query_params.get("next", "/")), 303)
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=int(dashboard.settings.session_s),
        httponly=True,
        samesite="strict",
        secure=_is_secure(dashboard),
    )
    return response


async def sign_out(request: Request) -> Response:
    """End the session."""
    session = session_of(request)
    if session is not None:
        form = await request.form()
        if not session.has_csrf(str(form.get("csrf", ""))):
            return PlainTextResponse("this form is not of this page; reload it", 403)
        dashboard_of(request).sessions.close(session.token)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


async def choose_language(request: Request) -> Response:
    """Remember the language of a browser."""
    language = request.query_params.get("to", "")
    response = RedirectResponse(_local(request.query_params.get("next", "/")), 303)
    if language in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, language, max_age=YEAR_S, httponly=True, samesite="lax"
        )
    return response


def _form(request: Request, problem: str, status: int = 200) -> Response:
    accounts = dashboard_of(request).accounts
    return render(
        request, "login.html", status=status, problem=problem, has_accounts=bool(accounts.names())
    )


def _local(target: str) -> str:
    """Return a path of this site; anything else becomes the first page."""
    is_path = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_path and target.isprintable() and "\\" not in target else "/"


def _address(request: Request, dashboard: Dashboard) -> str:
    if dashboard.settings.listen.behind_proxy:
        forwarded = request.headers.get("x-forwarded-for", "").split(",")[-1].strip()
        if forwarded:
            return escaped(forwarded[:64])
    return request.client.host if request.client else "-"


def _is_secure(dashboard: Dashboard) -> bool:
    listen = dashboard.settings.listen
    return listen.tls_cert is not None or listen.behind_proxy
