"""A control system in miniature: sends commands and keeps the answers."""

from __future__ import annotations

import json

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.messages.command import command_payload
from edge.messages.identity import uuid7
from edge.mqtt.topics import Topics
from tests.support.brokers import Listener, wait_until


class Commander:
    """Sends to one station; `changes` of a command replace fields of its payload."""

    def __init__(self, port: int, topics: Topics, *, v5: bool = False):
        self.topics = topics
        self.listener = Listener(port, v5=v5)
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if v5 else paho.MQTTv311
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, name, args=None, *, cmd_id=None, retain=False, reply=None, **changes) -> str:
        cmd_id = cmd_id or uuid7()
        payload = {**command_payload(cmd_id, "mes", args or {}, lifetime_s=30), **changes}
        properties = None
        if reply is not None:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic, properties.CorrelationData = reply
        info = self._client.publish(
            self.topics.command(name), json.dumps(payload), 1, retain, properties
        )
        info.wait_for_publish(10)
        return cmd_id

    def acks(self, cmd_id) -> list[dict]:
        found = (json.loads(message.payload) for message in self.listener.of("ack"))
        return [ack for ack in found if ack["cmd_id"] == cmd_id]

    def outcome(self, cmd_id, count=1) -> dict:
        """Wait for the answer that is not `accepted`, or for the count-th answer of that kind."""

        def ends():
            return [ack for ack in self.acks(cmd_id) if ack["status"] != "accepted"]

        wait_until(lambda: len(ends()) >= count, 90, f"outcome {count} of {cmd_id}")
        return ends()[count - 1]

    def ask(self, name, args=None, **options) -> dict:
        return self.outcome(self.send(name, args, **options))

    def newest(self, kind) -> dict:
        return json.loads(self.listener.of(kind)[-1].payload)

    def stop(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()
        self.listener.stop()
