"""edge-infer: run one station."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.console import make_app, run, say, say_next, setup_logging
from edge.cli.replay_report import print_replay
from edge.cli.standard_streams import silence
from edge.cli.tables import print_summary
from edge.config.station import StationConfig, read_station, with_overrides
from edge.errors import PublishError, VerdictsChanged
from edge.paths import find_state_dir

EPILOG = """Examples:\n
  edge-infer configs/demo.yaml\n
  edge-infer station.yaml --camera 'file:///data/parts?fps=5' --mqtt none --json\n
  edge-infer station.yaml --camera 'test://conveyor?parts=200' --mqtt mqtt://10.1.4.5:1883\n
  edge-infer station.yaml --camera 'replay:///archive?verdict=fail' --mqtt none\n
  edge-infer station.yaml --check
"""
log = logging.getLogger(__name__)
app = make_app()


@app.command(epilog=EPILOG)
def infer(
    station: Annotated[Path, typer.Argument(help="station file (YAML)", show_default=False)],
    camera: Annotated[str | None, typer.Option(help="camera address instead of the file's")] = None,
    bundle: Annotated[Path | None, typer.Option(help="bundle instead of the file's")] = None,
    mqtt: Annotated[
        str | None, typer.Option(help="mqtt://HOST:PORT, mqtts://HOST:PORT, embedded or none")
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="folder of the outbox; default EDGE_STATE_DIR, else the user's"),
    ] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="stop after so many parts")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="one result per line on standard output")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="check file, bundle and engine, open the cameras, then stop"),
    ] = False,
    no_camera: Annotated[
        bool, typer.Option("--no-camera", help="--check: leave the cameras closed")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="log JSON objects")] = False,
) -> None:
    """Inspect every part that a camera sees, and publish the verdicts over MQTT.

    Stops at the end of a finite source, after --max-frames, or on SIGINT, SIGTERM and SIGHUP. Exit
    codes: 0 stopped in order, 2 configuration, 3 bundle, 4 engine, 5 camera, 6 outbox or broker,
    11 a replay changed verdicts.
    """
    setup_logging(log_level, as_json=log_json)
    config = with_overrides(read_station(station), camera=camera, bundle=bundle, mqtt=mqtt)
    # Engines and cameras load here and not before: a wrong file must not cost a second.
    if check:
        _check(station, config, no_camera=no_camera)
        return
    if no_camera:
        raise typer.BadParameter("--no-camera: goes with --check; give it, too")
    from edge.station.station import Station

    output = JsonLines()
    running = Station(
        config,
        find_state_dir(state_dir),
        on_result=output.write if as_json else None,
        max_frames=max_frames,
    )
    if config.mqtt.broker == "none":  # nobody else would get the results
        output.on_failure = running.request_stop
    _stop_on_signals(running.request_stop)
    summary = running.run()
    if output.error is not None and config.mqtt.broker == "none":
        raise output.error
    with suppress(OSError):  # a terminal that is gone
        print_summary(summary, running.drops.snapshot(), config, file=sys.stderr)
    comparison = running.statistics.comparison
    if not comparison.is_empty:
        print_replay(comparison.report(), as_json=as_json)
    if running.stuck:
        # A thread inside a driver cannot be ended. Results are flushed one by one.
        sys.stderr.flush()
        os._exit(VerdictsChanged.exit_code if comparison.changed else 0)
    if comparison.changed:
        raise VerdictsChanged(f"{comparison.changed} of {comparison.compared} verdicts changed")


def _check(station: Path, config: StationConfig, *, no_camera: bool) -> None:
    from edge.station.check import check_cameras, check_station

    check_station(config)
    if no_camera:
        say(f"{station}: in order; not checked: whether its cameras are there (--no-camera)")
        return
    names = ", ".join(check_cameras(config))
    say(f"{station}: in order, opened: {names}")
    say_next("edge-infer", station)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Stop in order on Ctrl-C, at the request of a supervisor, and when the terminal closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever starts us by nohup wants us to outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop())


class JsonLines:
    """Results on standard output, one JSON object per line.

    Attributes:
        error: why the output ended before the run did, None while it works.
        on_failure: called when nothing can be written any more.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None

    def write(self, payload: dict[str, Any]) -> None:
        """Print one result; after a failure, nothing any more."""
        from edge.messages.payload import encode

        if self.error is not None:
            return
        try:
            # In ASCII: names of files and parts may hold what a terminal would obey.
            print(json.dumps(json.loads(encode(payload))), flush=True)
        except BrokenPipeError as error:  # `console.run` ends the process without a word
            self.error = error
        except OSError as error:
            self.error = PublishError(
                f"standard output: cannot be written: {error.strerror}; free the disk, or write "
                "the results elsewhere"
            )
        else:
            return
        silence(1)
        log.warning("results are no longer printed: %s", self.error)
        self.on_failure()


def main() -> None:
    """Entry point."""
    run(app)
