"""A broker inside this process, for demonstrations and single-box tests; MQTT 3.1.1, no disk."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
from typing import Any

from edge.errors import ConfigError, PublishError


class EmbeddedBroker:
    """amqtt in its own thread and event loop; everyone who reaches it may read and write.

    Args:
        host: address to listen on.
        port: TCP port.
        allow_remote: listen on an address that other machines reach, without any login.

    Raises:
        ConfigError: the address is not loopback and `allow_remote` is False.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 1883, *, allow_remote: bool = False):
        if not (allow_remote or _is_loopback(host)):
            raise ConfigError(
                f"mqtt.host: the embedded broker has no login and listens on loopback only, got "
                f"{host}; use 127.0.0.1 or a broker of your own"
            )
        self.host, self.port = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)

    def start(self, timeout_s: float = 10.0) -> None:
        """Listen.

        Raises:
            ConfigError: amqtt is not installed.
            PublishError: the port is taken or the broker does not come up.
        """
        try:
            import amqtt.broker  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "mqtt.broker: embedded needs amqtt, which is not installed; run pip install "
                "'edge-inspection[demo]'"
            ) from error
        self._thread.start()
        is_up = self._ready.wait(timeout_s)
        if self._failure is not None or not is_up:
            reason = _reason(self._failure) if self._failure else f"not up after {timeout_s:g} s"
            raise PublishError(
                f"embedded broker: cannot listen on {self.host}:{self.port}: {reason}; choose "
                f"another mqtt.port, or use the broker that runs there"
            ) from self._failure

    def stop(self, timeout_s: float = 5.0) -> None:
        """Close every connection and wait for the thread; does nothing before `start`."""
        if self._loop is not None and self._end is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        # It reports every client that comes and goes, and its state machine every step.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - handed to `start`
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        class ExactBroker(Broker):  # type: ignore[misc]
            """amqtt offers a new client what others have subscribed to; this one does not."""

            async def _publish_retained_messages_for_subscription(
                self, subscription: Any, session: Any
            ) -> None:
                holders = self._subscriptions.get(subscription[0], ())
                if any(holder.client_id == session.client_id for holder, *_ in holders):
                    await super()._publish_retained_messages_for_subscription(subscription, session)

        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        listener = {"type": "tcp", "bind": f"{self.host}:{self.port}"}
        broker = ExactBroker({"listeners": {"default": listener}, "plugins": anonymous})
        await broker.start()
        self._ready.set()
        await self._end.wait()
        await broker.shutdown()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    """Return what the system said, which amqtt wraps."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return str(cause or error)
