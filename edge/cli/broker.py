"""Options of the command line -> settings of a connection to a broker."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edge.config.mqtt import MqttSettings, parse_broker
from edge.errors import ConfigError


def broker_settings(broker: str, option: str, **login: str | Path | None) -> MqttSettings:
    """Return the settings for the broker address given as `option` and for login fields.

    Args:
        broker: mqtt://HOST:PORT or mqtts://HOST:PORT.
        option: name of the option that gave `broker`, for error messages.
        login: fields of MqttSettings such as `user_env`; None where not given.

    Raises:
        ConfigError: naming the option that is wrong.
    """
    address = parse_broker(broker, option)
    if address["broker"] != "external":
        raise ConfigError(f"{option}: expected mqtt://HOST:PORT or mqtts://HOST:PORT, got {broker}")
    if login.get("tls_ca_certs") and not address["tls"]:
        raise ConfigError(f"--tls-ca: expected mqtts://HOST:PORT with it, got {broker}")
    try:
        return MqttSettings(**{**address, **login})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = (item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise ConfigError(*(f"options: {problem}" for problem in problems)) from error
