"""The web application: which address shows what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.web import (
    news_stream,
    pictures,
    report_pages,
    result_pages,
    sign_in,
    station_commands,
    station_pages,
)
from edge.dashboard.web.access import SecurityHeaders, dashboard_of
from edge.dashboard.web.rendering import render

ROUTES = [
    Route("/", station_pages.plant),
    Route("/plant", station_pages.plant_cards),
    Route("/station/{node}/{station}", station_pages.station),
    Route("/station/{node}/{station}/panel/{panel}", station_pages.panel),
    Route("/station/{node}/{station}/charts", station_pages.charts),
    Route("/station/{node}/{station}/moment", station_pages.moment),
    Route("/station/{node}/{station}/command", station_commands.send, methods=["POST"]),
    Route("/result/{id:int}", result_pages.result),
    Route("/result/{id:int}.json", result_pages.as_json),
    Route("/result/{id:int}/review", result_pages.review, methods=["POST"]),
    Route("/result/{id:int}/picture/{camera}/{form}.jpg", pictures.picture),
    Route("/result/{id:int}/fetch/{camera}/{form}", pictures.fetch, methods=["POST"]),
    Route("/search", result_pages.search),
    Route("/reviews", result_pages.reviews),
    Route("/shift", report_pages.show),
    Route("/shift.csv", report_pages.csv),
    Route("/alerts", report_pages.alerts),
    Route("/events", news_stream.stream),
    Route("/login", sign_in.show_sign_in),
    Route("/login", sign_in.sign_in, methods=["POST"]),
    Route("/logout", sign_in.sign_out, methods=["POST"]),
    Route("/language", sign_in.choose_language),
]


def make_app(dashboard: Dashboard) -> Starlette:
    """Return the application; it starts and stops the dashboard's listener."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        dashboard.start()
        try:
            yield
        finally:
            dashboard.stop()

    static = StaticFiles(directory=str(files("edge.dashboard") / "static"))
    app = Starlette(
        routes=[*ROUTES, Route("/healthz", health), Mount("/static", static)],
        middleware=[Middleware(SecurityHeaders), Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={404: not_found},
        lifespan=lifespan,
    )
    app.state.dashboard = dashboard
    return app


async def health(request: Request) -> Response:
    """Say to a supervisor whether the broker is there; shows nothing of the plant."""
    is_connected = dashboard_of(request).listener.is_connected
    return JSONResponse({"broker": is_connected}, 200 if is_connected else 503)


async def not_found(request: Request, _: Exception) -> Response:
    """Say that there is nothing at an address."""
    return render(request, "not_found.html", 404)
