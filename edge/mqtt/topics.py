"""Topic names, and the one table that says how each kind of message travels.

Status, info and health are of the process: `<prefix>/<node>/<kind>`. Everything else is of the
station: `<prefix>/<node>/<station>/<kind>`. One process runs one station over one connection, and a
connection has one last will: so one node name stands for one process, and a device with two cameras
has two nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HOUR_S = 3600
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a kind travels; `expiry_s` is MQTT 5 message expiry, None for never.

    `is_node`: the topic stands directly below the node.
    """

    topic: str
    qos: int
    retain: bool
    expiry_s: float | None = None
    is_node: bool = False

    def aged(self, age_s: float) -> Delivery:
        """Return how a message travels that has been waiting here already.

        Its expiry is shorter by that time, but never below an hour, or the whole of a shorter one:
        a result that arrives at last shall not vanish at the broker.
        """
        if self.expiry_s is None:
            return self
        return replace(self, expiry_s=max(min(self.expiry_s, HOUR_S), self.expiry_s - age_s))


# Retained are the kinds whose newest value stays true; a retained result would show an old part
# as new, hence result/last for displays that join late, with an expiry.
DELIVERY = {
    "status": Delivery("status", qos=1, retain=True, is_node=True),
    "info": Delivery("info", qos=1, retain=True, is_node=True),
    "state": Delivery("state", qos=1, retain=True),
    "counters": Delivery("counters", qos=1, retain=True),
    "alerts": Delivery("alert/active", qos=1, retain=True),
    "alert": Delivery("alert", qos=1, retain=False, expiry_s=DAY_S),
    "result": Delivery("result", qos=1, retain=False, expiry_s=7 * DAY_S),
    "ack": Delivery("ack", qos=1, retain=False, expiry_s=3600),
    "last": Delivery("result/last", qos=0, retain=True, expiry_s=3600),
    "health": Delivery("health", qos=0, retain=False, expiry_s=90, is_node=True),
    "picture": Delivery("picture", qos=0, retain=False, expiry_s=60),
}
# What is asked of a station, at `<station>/cmd/<name>`: old requests must not arrive late, and a
# retained one would be heard again at every reconnect.
COMMAND = Delivery("cmd", qos=1, retain=False, expiry_s=30)
# First levels below a node and a station.
_RESERVED = {each.topic.partition("/")[0] for each in (*DELIVERY.values(), COMMAND)}
LONGEST_BYTES = 1024
_KIND_OF = {delivery.topic: kind for kind, delivery in DELIVERY.items()}


@dataclass(frozen=True, slots=True)
class Topics:
    """Names below one prefix; `node` and `station` may be `+` to make a subscription filter."""

    prefix: str
    node: str
    station: str

    def of(self, kind: str) -> str:
        """Return the full topic of a kind."""
        delivery = DELIVERY[kind]
        below = delivery.topic if delivery.is_node else f"{self.station}/{delivery.topic}"
        return f"{self.prefix}/{self.node}/{below}"

    def command(self, name: str = "+") -> str:
        """Return the topic of a command; `+` makes the filter of all."""
        return f"{self.prefix}/{self.node}/{self.station}/{COMMAND.topic}/{name}"

    def parse_command(self, topic: str) -> str | None:
        """Return the name of a command to this station, None for any other topic."""
        name = topic.removeprefix(self.command(""))
        return None if name == topic or "/" in name else name

    def takes_answers(self, topic: str) -> bool:
        """Tell whether a sender may have its answer at a topic.

        That is below the prefix, where this station may write, and nowhere that a station, this
        one or another, has messages or hears commands.
        """
        is_name = topic.isprintable() and not set("+#$") & set(topic)
        if not is_name or not topic.startswith(f"{self.prefix}/"):
            return False
        levels = topic.removeprefix(f"{self.prefix}/").split("/")
        is_free = all(levels) and not {*levels[1:3]} & _RESERVED
        return is_free and len(topic.encode()) <= LONGEST_BYTES

    def parse(self, topic: str) -> tuple[str, str | None, str] | None:
        """Return node, station and kind of a topic below the prefix, None for any other topic.

        The station is None for what is of the node.
        """
        below = topic.removeprefix(f"{self.prefix}/")
        node, _, rest = below.partition("/")
        if below == topic:
            return None
        kind = _KIND_OF.get(rest)
        if kind is not None and DELIVERY[kind].is_node:
            return node, None, kind
        station, _, rest = rest.partition("/")
        kind = _KIND_OF.get(rest)
        if kind is None or DELIVERY[kind].is_node:
            return None
        return node, station, kind
