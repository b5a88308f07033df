"""edge-dashboard: show all stations of a plant on a page."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, run, say, setup_logging
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.dashboard.settings import DashboardSettings

EPILOG = """Examples:\n
  edge-dashboard account add anna --role engineer --file dashboard.yaml\n
  edge-dashboard serve --file dashboard.yaml
"""
app = make_app()
account = make_app()
app.add_typer(account, name="account")
File = Annotated[Path, typer.Option("--file", metavar="FILE", help="the dashboard's YAML file")]
DEFAULT = Path("dashboard.yaml")


@app.callback(epilog=EPILOG)
def dashboard() -> None:
    """Show all stations of a plant on a page.

    A process of its own that only talks to the broker: it never slows a line.
    """


@app.command(epilog=EPILOG)
def serve(
    file: File = DEFAULT,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Listen to the plant and serve the pages until stopped.

    Exit codes: 0 stopped, 2 the file or its folder cannot be used.
    """
    from edge.dashboard.web.serving import serve as serve_pages

    setup_logging(log_level)
    settings = _settings(file)
    listen = settings.listen
    scheme = "https" if listen.tls_cert else "http"
    say(f"pages at {scheme}://{listen.host}:{listen.port}/")
    serve_pages(settings)


@account.callback()
def accounts() -> None:
    """Say who may sign in, and as what."""


@account.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    role: Annotated[str, typer.Option(help="viewer, operator or engineer")] = "viewer",
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="holds the password; else it is asked")
    ] = None,
    file: File = DEFAULT,
) -> None:
    """Add an account, or give it a new role and password."""
    from edge.dashboard.accounts import Accounts

    settings = _settings(file)
    Accounts(settings.folder).add(name, role, _password(password_file))
    say(f"{name}: may sign in as {role}")


@account.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)], file: File = DEFAULT
) -> None:
    """Remove an account; its sessions end at their next page."""
    from edge.dashboard.accounts import Accounts

    Accounts(_settings(file).folder).remove(name)
    say(f"{name}: removed")


@account.command("list")
def list_accounts(file: File = DEFAULT) -> None:
    """List who may sign in."""
    from edge.dashboard.accounts import Accounts

    known = Accounts(_settings(file).folder)
    for name in known.names():
        found = known.find(name)
        say(f"{name} {found.role if found else ''}")


def main() -> None:
    """Run the command."""
    run(app)


def _settings(file: Path) -> DashboardSettings:
    from edge.config.reader import read_settings
    from edge.dashboard.settings import DashboardSettings

    return read_settings(file, DashboardSettings, {"folder": file.absolute().parent})


def _password(path: Path | None) -> str:
    if path is not None:
        from edge.secret_file import read_secret

        return read_secret(path, "--password-file")
    if not sys.stdin.isatty():
        raise ConfigError("password: expected a terminal to ask on, or --password-file FILE")
    password = getpass.getpass("password: ")
    if password != getpass.getpass("again: "):
        raise ConfigError("password: the two are not the same")
    return password
