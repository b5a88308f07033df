"""A driver call that may hang, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from edge.errors import CameraTimeout

T = TypeVar("T")


def in_time(call: Callable[[], T], limit_s: float, late: Callable[[T], object], what: str) -> T:
    """Return what `call` returns, or give up after `limit_s`.

    Args:
        call: runs in a thread of its own, which cannot be ended and cannot keep the process alive.
        limit_s: seconds.
        late: takes what `call` returns after we have given up, so that it can be freed.
        what: one line that says what was expected, for the error.

    Raises:
        CameraTimeout: `call` took too long.
        Exception: the one that `call` raised.
    """
    lock = threading.Lock()
    outcome: list[T] = []
    errors: list[BaseException] = []
    has_given_up = False

    def run() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
            return
        with lock:
            if not has_given_up:
                outcome.append(value)
                return
        late(value)

    thread = threading.Thread(target=run, name="camera-call", daemon=True)
    thread.start()
    thread.join(limit_s)
    with lock:
        has_given_up = not outcome and not errors
    if has_given_up:
        raise CameraTimeout(f"{what} within {limit_s:g} s, got no answer")
    if errors:
        raise errors[0]
    return outcome[0]
