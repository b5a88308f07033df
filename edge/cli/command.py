"""edge-command: send a command to a station and wait for its outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.broker import broker_settings
from edge.cli.console import make_app, run, say, setup_logging
from edge.cli.who import who
from edge.config.commands import COMMANDS
from edge.config.values import NAME
from edge.errors import CommandError, ConfigError, PublishError
from edge.messages.command import command_payload
from edge.messages.identity import uuid7
from edge.messages.message import Message
from edge.messages.payload import Payload, encode
from edge.messages.payload_reader import read_payload
from edge.mqtt.link import Link
from edge.mqtt.topics import COMMAND, Topics

LIFETIME_S = 30.0
# A command that is sent again with its id is done once: that covers a lost packet at either end.
RESEND_S = 2.0
EPILOG = """Examples:\n
  edge-command prepare_recipe recipe=cover --node line4-box1 --station st3-top\n
  edge-command get_state --node line4-box1 --station st3-top --mqtt mqtt://10.1.4.5:1883\n
  edge-command start_single_job part_id=4006-871 --node line4-box1 --station st3-top\n
  edge-command set_threshold threshold=0.7 --node line4-box1 --station st3-top\n
  edge-command acknowledge_alert code=camera_lost --node line4-box1 --station st3-top\n
"""
app = make_app()


def _arguments_help() -> str:
    usages = (spec.usage for spec in COMMANDS.values() if spec.required or spec.optional)
    return f"arguments of the command: {', '.join(usages)}"


@app.command(epilog=EPILOG)
def command(
    name: Annotated[str, typer.Argument(help=", ".join(COMMANDS), show_default=False)],
    node: Annotated[str, typer.Option(help="device", show_default=False)],
    station: Annotated[str, typer.Option(help="station of the device", show_default=False)],
    args: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help=_arguments_help())
    ] = None,
    mqtt: Annotated[
        str, typer.Option(help="mqtt://HOST:PORT or mqtts://HOST:PORT")
    ] = "mqtt://127.0.0.1:1883",
    prefix: Annotated[str, typer.Option(help="topic prefix of the station")] = "edge-infer/v1",
    by: Annotated[str, typer.Option(help="who asks; default USER@HOST")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for the outcome")] = 60.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="print every answer as one line of JSON")
    ] = False,
    user_env: Annotated[
        str | None, typer.Option(help="environment variable with the user name")
    ] = None,
    password_env: Annotated[
        str | None, typer.Option(help="environment variable with the password")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(help="file with the password")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="authority of the broker, PEM")] = None,
) -> None:
    """Send a command over MQTT and wait until it is done.

    Exit codes: 0 done, 2 usage, 6 no broker or no answer, 7 rejected, failed or expired.
    """
    setup_logging("error")
    for option, value in (("NAME", name), ("--node", node), ("--station", station)):
        if not NAME.fullmatch(value):
            raise ConfigError(f"{option}: expected letters, digits, _ and - only, got {value!r}")
    settings = broker_settings(
        mqtt,
        "--mqtt",
        topic_prefix=prefix,
        user_env=user_env,
        password_env=password_env,
        password_file=password_file,
        tls_ca_certs=tls_ca,
    )
    request = command_payload(
        uuid7(), by or who(), _arguments(args or []), lifetime_s=min(LIFETIME_S, timeout)
    )
    answers: list[Payload] = []
    topics = Topics(prefix, node, station)
    link = Link(
        settings,
        f"edge-command-{uuid7()[-12:]}",
        on_message=lambda message: _keep_answer(message, request["cmd_id"], answers),
        resume=False,
    )
    try:
        for answer in _send(link, topics, name, request, answers, timeout):
            _show(name, answer, as_json=as_json)
    finally:
        link.close()
    if answer["status"] != "done":
        raise CommandError(f"{name}: {answer['status']} ({answer['code']}): {answer['message']}")


def main() -> None:
    """Run the command."""
    run(app)


def _send(
    link: Link,
    topics: Topics,
    name: str,
    request: Payload,
    answers: list[Payload],
    timeout_s: float,
) -> Iterator[Payload]:
    """Send the request until it is answered, and yield every answer up to the outcome.

    Raises:
        PublishError: no broker, or no outcome in time.
    """
    deadline = time.monotonic() + timeout_s
    link.connect(min(10.0, timeout_s))
    link.subscribe([topics.of("ack")])
    data, resend = encode(request).encode(), 0.0
    is_answered = False
    while (moment := time.monotonic()) < deadline:
        if not is_answered and moment >= resend:
            link.publish(topics.command(name), data, COMMAND)
            resend = moment + RESEND_S
        link.poll(0.1)
        while answers:
            is_answered = True
            yield answers[0]
            if answers.pop(0)["status"] not in ("accepted", "in_progress"):
                return
    what = "no outcome" if is_answered else "no answer"
    hint = "" if is_answered else "; check node and station, and that it runs and takes commands"
    raise PublishError(
        f"{name}: {what} from {topics.node}/{topics.station} within {timeout_s:g} s{hint}"
    )


def _keep_answer(message: Message, cmd_id: str, answers: list[Payload]) -> None:
    """Keep the message if it answers our command. Its payload is untrusted."""
    try:
        ack = read_payload(message.payload)
        if ack["cmd_id"] == cmd_id and all(
            isinstance(ack[key], str) for key in ("status", "code", "message")
        ):
            answers.append(ack)
    except (ValueError, LookupError):
        return


def _show(name: str, answer: Payload, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer), flush=True)  # ASCII: safe anywhere
    elif name == "get_state":
        print(json.dumps(answer.get("state"), indent=2), flush=True)
    elif answer["status"] in ("accepted", "in_progress", "done"):
        say(f"{answer['status']}: {answer['message']}")


def _arguments(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"expected arguments such as recipe=cover, got {pair}")
    return dict(pair.split("=", 1) for pair in pairs)
