import threading
import time
from datetime import datetime, timezone

import numpy as np
import pytest

from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.capture.mailbox import Mailbox
from tests.support.waiting import WatchedCondition


def frame(number):
    pixels = np.zeros((2, 2, 3), np.uint8)
    return Frame("top", number, number, datetime.now(timezone.utc), pixels)


def drain(box):
    taken = []
    while True:
        got = box.take(30)
        if got is None and box.closed:
            return taken
        assert got is not None, "nothing came in time"
        taken.append(got.frame_id)


@pytest.fixture(autouse=True)
def only_a_notification_ends_a_wait(monkeypatch):
    monkeypatch.setattr("edge.station.capture.mailbox._WAIT_S", 600)


def watched(policy, drops):
    """Make a mailbox for one frame that tells when a thread waits."""
    box = Mailbox(policy, 1, drops)
    box._changed = WatchedCondition()
    return box


def in_thread(call):
    result = []
    thread = threading.Thread(target=lambda: result.append(call()), daemon=True)
    thread.start()
    return thread, result


def test_latest_keeps_the_newest_and_counts_the_others():
    drops = DropCounts()
    box = Mailbox("latest", 8, drops)
    for number in range(5):
        assert box.put(frame(number), wait=False) is None
    assert len(box) == 1
    assert box.take(0).frame_id == 4
    assert drops.snapshot() == {("mailbox", "superseded"): 4}


def test_every_keeps_the_order_and_gives_back_what_it_refuses():
    drops = DropCounts()
    box = Mailbox("every", 3, drops)
    refused = [box.put(frame(number), wait=False) for number in range(5)]
    assert [f and f.frame_id for f in refused] == [None, None, None, 3, 4]
    box.close()
    assert drain(box) == [0, 1, 2]
    assert drops.snapshot() == {("mailbox", "overrun"): 2}


def test_a_waiting_put_goes_on_as_soon_as_there_is_room():
    box = watched("every", DropCounts())
    box.put(frame(0), wait=True)
    thread, result = in_thread(lambda: box.put(frame(1), wait=True))
    assert box._changed.has_waiter.wait(30)
    assert thread.is_alive()
    assert box.take(0).frame_id == 0
    thread.join(30)
    assert result == [None]
    assert box.take(0).frame_id == 1


@pytest.mark.parametrize("wait", [True, False])
def test_close_wakes_a_waiting_put_and_later_frames_are_counted(wait):
    drops = DropCounts()
    box = watched("every", drops)
    box.put(frame(0), wait=True)
    thread, result = in_thread(lambda: box.put(frame(1), wait=True))
    assert box._changed.has_waiter.wait(30)
    box.close()
    thread.join(30)
    assert result == [None]
    assert box.put(frame(2), wait=wait) is None
    assert drain(box) == [0]
    assert drops.snapshot() == {("mailbox", "closed"): 2}


def test_close_wakes_a_waiting_take():
    box = watched("latest", DropCounts())
    thread, result = in_thread(lambda: box.take(600))
    assert box._changed.has_waiter.wait(30)
    box.close()
    thread.join(30)
    assert result == [None]
    assert box.closed


def test_nothing_yet_differs_from_the_end():
    box = Mailbox("every", 2, DropCounts())
    start = time.monotonic()
    assert box.take(0.05) is None
    assert time.monotonic() - start > 0.04
    assert not box.closed
    box.put(frame(0), wait=True)
    box.close()
    # Closed for writers, but a reader that stopped here would miss a frame.
    assert not box.closed
    assert box.take(0).frame_id == 0
    assert box.closed
    assert box.take(0) is None


def test_no_frame_is_lost_or_doubled_between_two_busy_threads():
    drops = DropCounts()
    box = Mailbox("every", 3, drops)

    def fill():
        for number in range(2000):
            box.put(frame(number), wait=True)
        box.close()

    thread, _ = in_thread(fill)
    assert drain(box) == list(range(2000))
    thread.join(30)
    assert drops.total == 0


def test_counts_from_many_threads_add_up():
    drops = DropCounts()
    threads = [
        threading.Thread(target=lambda: [drops.add("camera", "gap", 2) for _ in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drops.add("mailbox", "overrun")
    assert drops.snapshot() == {("camera", "gap"): 8000, ("mailbox", "overrun"): 1}
    assert drops.total == 8001
    drops.snapshot()["camera", "gap"] = 0
    assert drops.total == 8001
