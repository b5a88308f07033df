"""Commands that move the machine, on a broker that anybody may use, are told."""

from __future__ import annotations

import pytest

from edge.config.commands import COMMANDS, DEFAULT_COMMANDS
from edge.config.station import StationConfig
from edge.station.commands.exposure import exposure

LOGIN = {"user": "u", "password_env": "P"}
CERTIFICATE = {"tls_client_cert": "/c.pem", "tls_client_key": "/c.key"}


def station(mqtt, allow=("get_state", "stop")):
    return StationConfig(
        node="n", station="s", bundle="b", camera={"source": "test://conveyor"},
        commands={"allow": allow}, mqtt=mqtt,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mqtt", "lacks"),
    [
        ({}, "no TLS and no login"),
        ({"broker": "embedded"}, "no TLS and no login"),
        ({"tls": True}, "no login"),
        (LOGIN, "no TLS"),
        ({"user_env": "U"}, "no TLS"),
        ({"password_env": "P"}, "no TLS and no login"),
    ],
)
def test_an_open_broker_is_told_with_the_commands(mqtt, lacks):
    told = exposure(station(mqtt))
    assert told is not None
    assert told.startswith(f"the broker has {lacks}, so that others may send stop;")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(DEFAULT_COMMANDS)))
def test_every_command_that_is_no_default_counts(name):
    assert f"send {name};" in exposure(station({}, allow=(name,)))


@pytest.mark.parametrize(
    ("mqtt", "allow"),
    [
        ({"tls": True, **LOGIN}, ("stop",)),
        ({"tls": True, **CERTIFICATE}, ("stop",)),
        ({}, DEFAULT_COMMANDS),
        ({}, ()),
        ({"broker": "none"}, ("stop",)),
    ],
)
def test_a_closed_broker_or_reading_alone_is_not(mqtt, allow):
    assert exposure(station(mqtt, allow)) is None
