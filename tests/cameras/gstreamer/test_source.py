"""Pipelines of GStreamer itself: the source runs, breaks and comes again."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.factory import is_live, make_source
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout, CameraUnavailable, ConfigError
from edge.station.capture.capture import Capture
from edge.station.capture.mailbox import Mailbox
from tests.support.gobject import gobject_or_skip

gobject_or_skip("Gst", "1.0")

LIVE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=48,framerate=50/1"


def settings(pipeline, **more):
    return CameraSettings(
        name="top",
        source="gst://belt",
        pipelines={"belt": pipeline},
        **{"stall_timeout_s": 5} | more,
    )


def opened(pipeline, **more):
    source = make_source(settings(pipeline, **more))
    source.open()
    return source


def problem_of(pipeline, error=CameraUnavailable, **more):
    source = make_source(settings(pipeline, **more))
    with pytest.raises(error) as caught:
        source.open()
    text = str(caught.value)
    assert text.startswith("top: gst://belt: "), text
    assert "\n" not in text
    return text


def test_frames_come_numbered_in_bgr_and_the_newest_wins():
    source = opened(LIVE)
    try:
        first = source.read()
        time.sleep(0.5)
        late, later = source.read(), source.read()
    finally:
        source.close()
    assert first.size_wh == (64, 48)
    assert first.pixels_bgr.dtype == np.uint8
    assert late.frame_id > first.frame_id + 3, "frames that nobody took count as lost"
    assert later.frame_id > late.frame_id
    assert (late.captured_ns - first.captured_ns) > 0.4e9


def test_a_pipeline_may_have_several_lines_and_branches():
    source = opened(
        LIVE.replace(" ! ", "\n  ! ") + "\n! tee name=t t. ! queue ! fakesink t. ! queue\n"
    )
    assert source.read().size_wh == (64, 48)
    source.close()


@pytest.mark.parametrize("width", [64, 65, 66, 67])
@pytest.mark.parametrize("form", ["RGB", "BGRx", "GRAY8", "I420", "BGR"])
def test_colours_and_rows_lie_where_they_belong(form, width):
    red = "videotestsrc is-live=true pattern=solid-color foreground-color=0xffff0000"
    source = opened(f"{red} ! video/x-raw,format={form},width={width},height=48")
    try:
        pixels = source.read().pixels_bgr
    finally:
        source.close()
    assert pixels.shape == (48, width, 3)
    blue, green, red = (pixels[..., channel] for channel in range(3))
    if form == "GRAY8":
        assert (blue == red).all()
        assert (blue == green).all()
    else:
        assert red.min() > 240
        assert max(blue.max(), green.max()) < 15


def test_a_finite_recording_ends_and_a_live_stream_that_ends_was_lost():
    finite = opened("videotestsrc num-buffers=3 ! video/x-raw,framerate=100/1")
    assert len([*iter(finite.read, None)]) <= 3
    assert finite.read() is None
    finite.close()
    live = opened(LIVE.replace("is-live", "num-buffers=3 is-live"))
    with pytest.raises(CameraUnavailable, match="top: gst://belt: the stream ended"):
        [live.read() for _ in range(4)]
    live.close()


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("videotestsrc ! x264foo", "element x264foo, which is not installed; gst-inspect-1.0"),
        ("nvarguscamerasrc ! fakefoo", "elements nvarguscamerasrc and fakefoo, which are not"),
        ("videotestsrc foo=1", 'no property "foo" in element "videotestsrc"'),
        ("videotestsrc pattern=nope", 'could not set property "pattern"'),
        ("videotestsrc !", "syntax error"),
        ("videotestsrc ! fakesink", "must end in raw video in ordinary memory and without a sink"),
        ("audiotestsrc", "must end in raw video"),
        ("videotestsrc ! jpegenc", "must end in raw video"),
        ("videotestsrc ! video/x-raw(memory:NVMM)", "must end in raw video"),
        ("videotestsrc ! video/x-bayer", "bayer2rgb"),
        ("v4l2src device=/dev/nope", "Cannot identify device '/dev/nope'"),
        ("filesrc location=/nope ! pngdec", 'No such file "/nope"'),
        ("filesrc location=/etc/hostname ! decodebin", "filesrc|typefind|decodebin"),
        ("audiotestsrc is-live=true ! decodebin", "top"),
        ("videotestsrc num-buffers=0", "ended before its first picture"),
    ],
)  # fmt: skip
def test_a_broken_pipeline_is_one_line(pipeline, expected):
    text = problem_of(pipeline)
    assert any(part in text for part in expected.split("|")), text


def test_an_error_while_it_runs_is_one_line():
    source = opened(f"{LIVE} ! identity error-after=5")
    with pytest.raises(CameraUnavailable, match=r"top: gst://belt: identity\d+: .*Failed after"):
        [source.read() for _ in range(10)]
    source.close()


def test_silence_is_a_timeout():
    source = opened(f"{LIVE} ! identity name=gate", stall_timeout_s=0.5)
    source.read()
    source._running._pipeline.get_by_name("gate").set_property("drop-probability", 1.0)
    started = time.monotonic()
    with pytest.raises(CameraTimeout, match=r"no picture for 0\.4 s"):
        [source.read() for _ in range(100)]
    assert time.monotonic() - started < 10
    source.close()


def test_a_pipeline_without_a_first_picture_does_not_open():
    text = problem_of(f"{LIVE} ! identity drop-probability=1.0", CameraTimeout, stall_timeout_s=0.3)
    assert "expected a picture within 0.6 s, got none" in text


def test_close_ends_a_waiting_read_from_another_thread():
    source = opened(f"{LIVE} ! identity name=gate", stall_timeout_s=60)
    source.read()
    source._running._pipeline.get_by_name("gate").set_property("drop-probability", 1.0)
    threading.Timer(0.2, source.close).start()
    with pytest.raises(CameraUnavailable, match="closed"):
        [source.read() for _ in range(100)]
    source.close()


def test_it_opens_again_and_numbers_go_on():
    source = opened(LIVE)
    before = source.read().frame_id
    source.close()
    source.open()
    assert source.read().frame_id > before
    source.open()
    assert source.read() is not None
    source.close()


@pytest.mark.parametrize("pipeline", [LIVE, "v4l2src device=/dev/nope", "videotestsrc ! fakesink"])
def test_opening_again_and_again_keeps_nothing(pipeline):
    source = make_source(settings(pipeline))

    def attempt():
        with contextlib.suppress(CameraUnavailable):
            source.open()
        source.close()

    def descriptors():
        return len([*Path("/proc/self/fd").iterdir()])

    attempt()
    before = descriptors()
    for _ in range(12):
        attempt()
    assert descriptors() < before + 6


def test_the_station_reopens_a_stream_that_ends_again_and_again():
    config = settings(
        LIVE.replace("is-live", "num-buffers=4 is-live"), retry_interval_s=0.05, retry_max_s=0.1
    )
    drops = DropCounts()
    box = Mailbox("latest", 1, drops)
    capture = Capture(
        config, make_source(config), box, drops, on_refused=pytest.fail, on_change=lambda _: None
    )
    capture.open()
    capture.start()
    ids, deadline = [], time.monotonic() + 30
    while capture.state.reconnects < 2:
        assert time.monotonic() < deadline
        if (frame := box.take(0.1)) is not None:
            ids.append(frame.frame_id)
    capture.stop()
    assert capture.join(10)
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("gst://blet", "expected a pipeline of the station file; did you mean belt?"),
        ("gst://", "expected the name of a pipeline, such as gst://belt"),
        ("gst://belt?fps=5", "unknown key fps"),
    ],
)
def test_a_name_that_no_pipeline_has_is_refused(address, expected):
    config = CameraSettings(source=address, pipelines={"belt": LIVE})
    with pytest.raises(ConfigError, match="camera address gst://") as caught:
        make_source(config)
    assert expected in str(caught.value)


def test_without_pipelines_the_key_is_named():
    with pytest.raises(ConfigError, match=r"name one in the station file: pipelines: \{belt:"):
        make_source(CameraSettings(source="gst://belt"))


def test_a_pipeline_is_live():
    assert is_live(settings(LIVE))
