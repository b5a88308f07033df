"""edge-watch: see on a terminal, or in a pipe, what stations publish."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from edge.cli import console
from edge.cli.broker import broker_settings
from edge.cli.result_text import result_line
from edge.cli.watched_stations import Watched
from edge.errors import ConfigError, PublishError, UnverifiedError
from edge.messages.identity import uuid7
from edge.messages.result_verifier import ResultVerifier
from edge.messages.signature import parse_verify_key
from edge.mqtt.credentials import read_secret_text
from edge.mqtt.link import Link
from edge.mqtt.topics import Topics
from edge.printable_text import escaped

KINDS = ("result", "status", "state", "counters", "alerts")
RETRY_S = 0.2
MOST_KEY_BYTES = 64 * 1024

app = console.make_app()


@app.command(
    epilog="Examples:\n\n"
    "edge-watch\n\n"
    "edge-watch --station st3-top --json --until-stopped > results.jsonl\n\n"
    "edge-watch --station st3-top --verify st3-top.pub\n\n"
    "edge-watch mqtts://broker:8883 --tls-ca ca.pem --user-env USR --password-file pw.txt"
)
def watch(
    broker: Annotated[str, typer.Argument(help="mqtt://HOST:PORT or mqtts://HOST:PORT")] = (
        "mqtt://127.0.0.1:1883"
    ),
    prefix: Annotated[str, typer.Option(help="Topic prefix of the stations")] = "edge-infer/v1",
    node: Annotated[str, typer.Option(help="Only this device")] = "+",
    station: Annotated[str, typer.Option(help="Only this station")] = "+",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each result as one line of JSON")
    ] = False,
    until_stopped: Annotated[
        bool, typer.Option(help="End when the stations seen running have stopped")
    ] = False,
    verify: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="KEYFILE",
            help="Take only results signed with this key (Ed25519 public key as PEM, or the "
            "secret of an HMAC); give it again for further keys",
        ),
    ] = None,
    max_results: Annotated[
        int | None, typer.Option(min=1, help="End after so many different results")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to reach the broker; then exit code 6")
    ] = 10.0,
    user_env: Annotated[
        str | None, typer.Option(help="Environment variable with the user name")
    ] = None,
    password_env: Annotated[
        str | None, typer.Option(help="Environment variable with the password")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Certificate authority of the broker, PEM")
    ] = None,
) -> None:
    """Show what stations publish: a live table, or one line per result when piped.

    Exit codes: 0 done, 2 usage, 6 no broker, 9 with --verify: a result was unsigned, forged,
    altered or replayed, 130 Ctrl-C.
    """
    console.setup_logging("error")
    settings = broker_settings(
        broker,
        "BROKER",
        user_env=user_env,
        password_env=password_env,
        password_file=password_file,
        tls_ca_certs=tls_ca,
    )
    verifier = _verifier(verify) if verify else None
    watched = Watched(Topics(prefix, node, station), _output(as_json=as_json), verifier)

    ctrl_c = CtrlC()

    def is_done() -> bool:
        enough = max_results is not None and watched.received >= max_results
        return enough or ctrl_c.was_pressed or (until_stopped and watched.has_stopped)

    link = Link(settings, f"edge-watch-{uuid7()[-12:]}", on_message=watched.take, resume=False)
    try:
        with watched.shown():
            follow(link, watched, is_done, timeout)
        ctrl_c.check()
    finally:
        link.close()
        watched.summarise()
        if verifier is not None and verifier.problems:
            raise UnverifiedError(
                f"{verifier.problems} results were not what a station signed; see the lines above"
            )


def main() -> None:
    """Run the command."""
    console.run(app)


class CtrlC:
    """SIGINT as KeyboardInterrupt, and as a flag: callbacks of libraries can lose an exception."""

    def __init__(self) -> None:
        self.was_pressed = False
        signal.signal(signal.SIGINT, self._take)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the one raised before went nowhere."""
        if self.was_pressed:
            raise KeyboardInterrupt

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.was_pressed = True
        raise KeyboardInterrupt


def follow(link: Link, watched: Watched, is_done: Callable[[], bool], timeout_s: float) -> None:
    """Receive until done, and reconnect whenever the broker goes.

    Raises:
        PublishError: the broker was not reached within `timeout_s` of the start.
    """
    deadline = time.monotonic() + timeout_s
    while not is_done():
        problem = _receive(link, watched, is_done, deadline)
        if problem and problem != watched.notice and watched.write is not None:
            print(f"waiting: {escaped(problem)}", file=sys.stderr)
        watched.notice = problem
        watched.draw()
        if problem:
            time.sleep(RETRY_S)


def _receive(link: Link, watched: Watched, is_done: Callable[[], bool], deadline: float) -> str:
    """Use one connection until done; return why it ended before that."""
    left_s = deadline - time.monotonic()
    try:
        link.connect(10.0 if watched.was_connected else max(0.5, left_s))
        link.subscribe([watched.topics.of(kind) for kind in KINDS])
        watched.was_connected, watched.notice = True, ""
        while not is_done():
            link.poll(0.2)
            watched.draw()
    except PublishError as error:
        if not watched.was_connected and time.monotonic() + RETRY_S > deadline:
            raise
        return str(error)
    return ""


def _verifier(paths: list[Path]) -> ResultVerifier:
    """Read the keys of `--verify`; what could also sign must be for its owner alone.

    Raises:
        ConfigError: a file cannot be read or holds no key.
    """
    keys = {}
    for path in paths:
        what = f"--verify: {path}"
        try:
            with path.open("rb") as stream:
                is_public = b"PUBLIC KEY" in stream.read(200)
        except OSError as error:
            raise ConfigError(f"{what}: cannot be read: {error.strerror}") from None
        if is_public:
            text = path.read_text(encoding="utf-8", errors="replace")[:MOST_KEY_BYTES]
        else:
            text = read_secret_text(path, "--verify")
        key = parse_verify_key(text, what)
        keys[key.id] = key
    return ResultVerifier(keys)


def _output(*, as_json: bool) -> Callable[[dict[str, Any]], None] | None:
    """Return what writes a result, None for the live table."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an encoding that lacks a letter
    if as_json:
        return lambda payload: print(json.dumps(payload), flush=True)  # ASCII: safe anywhere
    if sys.stdout.isatty():
        return None
    return lambda payload: print(result_line(payload).plain, flush=True)
