"""A station in miniature: makes and publishes as many results as each line of stdin says.

Usage: outbox_process.py FOLDER PORT PROTOCOL FIRST. Says `ready` once everything is imported, and
opens outbox and connection at the first line. Prints each part id after its commit, and stops in
order at the end of stdin.
"""

from __future__ import annotations

import sys
import time
import uuid
from itertools import chain
from pathlib import Path

from edge.config.mqtt import SpoolSettings
from edge.messages.identity import Identity
from edge.messages.payload import info_payload
from edge.messages.state_board import StateBoard
from edge.mqtt import client
from edge.mqtt.publisher import Publisher
from edge.outputs.outbox import Outbox, outbox_path
from edge.outputs.outbox_writer import OutboxWriter
from tests.support.brokers import wait_until
from tests.support.mqtt_results import MODEL, make_payload, make_settings


def main() -> int:
    folder, port, protocol = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    next_part = int(sys.argv[4])
    print("ready", flush=True)
    first = sys.stdin.readline()
    identity = Identity("jx", "st3", uuid.uuid4().hex)
    outbox = Outbox(outbox_path(folder, "jx", "st3"), SpoolSettings())
    board = StateBoard(identity)
    board.put("info", info_payload(identity, MODEL, {}))
    client.WILL_DELAY_S = 2  # five are long for a test
    settings = make_settings(port, protocol=protocol)
    publisher = Publisher(settings, identity, outbox, board, version="0.1")

    def committed(payload: dict) -> None:
        print(payload["part"]["id"], flush=True)
        publisher.wake()

    writer = OutboxWriter(outbox, committed)
    writer.start()
    publisher.start()
    wait_until(lambda: publisher.connected, 10, "a connection to the broker")
    for line in chain([first], sys.stdin):
        for _ in range(int(line)):
            writer.put(make_payload(f"p-{next_part}", identity))
            next_part += 1
            time.sleep(0.002)
    is_delivered = writer.stop(5) and publisher.stop(10)
    outbox.close()
    return 0 if is_delivered else 1


if __name__ == "__main__":
    sys.exit(main())
