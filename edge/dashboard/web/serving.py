"""Serves the pages until the process is told to stop."""

from __future__ import annotations

import signal
import ssl

import uvicorn

from edge.dashboard.dashboard import Dashboard
from edge.dashboard.settings import DashboardSettings, ListenSettings
from edge.dashboard.web.app import make_app
from edge.errors import ConfigError

STOP_S = 3


def serve(settings: DashboardSettings) -> None:
    """Listen to the plant and serve its pages.

    Raises:
        ConfigError: the folder, the certificate or the port cannot be used.
    """
    listen = settings.listen
    _check_certificate(listen)
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
    # The server stops in order on SIGTERM and sends it once more: the process would end by it.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    except SystemExit:
        raise ConfigError(
            f"listen: {listen.host}:{listen.port} cannot be used; choose another port, or end what "
            "listens there"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_certificate(listen: ListenSettings) -> None:
    """Refuse, before anything begins, what the server could not load or would wait for."""
    if listen.tls_cert is None or listen.tls_key is None:
        return
    for path in (listen.tls_cert, listen.tls_key):
        if not path.is_file():
            raise ConfigError(f"listen: {path}: no such file; give certificate and key as PEM")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty passphrase: OpenSSL would ask for one on the terminal and wait.
        context.load_cert_chain(listen.tls_cert, listen.tls_key, password="")
    except OSError as error:
        raise ConfigError(
            f"listen: {listen.tls_cert}, {listen.tls_key}: expected a certificate and its key as "
            f"PEM, without a passphrase: {error.strerror or error}"
        ) from error
