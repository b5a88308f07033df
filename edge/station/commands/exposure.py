"""Whether strangers could command the station: commands that move it, on a broker open to all."""

from __future__ import annotations

from edge.config.commands import DEFAULT_COMMANDS
from edge.config.mqtt import MqttSettings
from edge.config.station import StationConfig


def exposure(config: StationConfig) -> str | None:
    """Return one line for people if commands are open to whoever is on the network, else None.

    What is allowed by default moves nothing, and is not counted. A broker has a login where the
    station needs a user name, or a certificate of its own, to be let in.
    """
    mqtt = config.mqtt
    opened = [name for name in config.commands.allow if name not in DEFAULT_COMMANDS]
    lacks = " and ".join(_lacks(mqtt))
    if mqtt.broker == "none" or not opened or not lacks:
        return None
    return (
        f"the broker has {lacks}, so that others may send {', '.join(opened)}; set mqtt.tls and a "
        f"login, or take them out of commands.allow"
    )


def _lacks(mqtt: MqttSettings) -> list[str]:
    has_login = mqtt.user or mqtt.user_env or mqtt.tls_client_cert
    lacks = [] if mqtt.tls else ["no TLS"]
    return lacks if has_login else [*lacks, "no login"]
