"""Serves the pages until the process is told to stop."""

from __future__ import annotations

import uvicorn

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.settings import DashboardSettings
from edge.dashboard.web.app import make_app
from edge.errors import ConfigError

STOP_S = 3


def serve(settings: DashboardSettings) -> None:
    """Listen to the plant and serve its pages.

    Raises:
        ConfigError: the folder, the certificate or the port cannot be used.
    """
    listen = settings.listen
    for path in (listen.tls_cert, listen.tls_key):
        if path is not None and not path.is_file():
            raise ConfigError(f"listen: {path}: no such file; give certificate and key as PEM")
    dashboard = Dashboard(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(dashboard),
            host=listen.host,
            port=listen.port,
            ssl_certfile=None if listen.tls_cert is None else str(listen.tls_cert),
            ssl_keyfile=None if listen.tls_key is None else str(listen.tls_key),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # X-Forwarded-For is read where a proxy is expected, and nowhere else.
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_S,
        )
    )
    try:
        server.run()
    except SystemExit:
        raise ConfigError(
            f"listen: {listen.host}:{listen.port} cannot be used; choose another port, or end what "
            "listens there"
        ) from None
    except OSError as error:
        # Where uvicorn reads certificate and key, before the application begins and ends anything.
        dashboard.stop()
        raise ConfigError(
            f"listen: {listen.tls_cert}, {listen.tls_key}: expected a certificate and its key as "
            f"PEM: {error.strerror or error}"
        ) from error
