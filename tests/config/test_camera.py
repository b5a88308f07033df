from __future__ import annotations

import pytest

from edge.config.camera import CameraSettings
from edge.config.reader import parse_settings
from edge.errors import ConfigError


def read(pipeline):
    text = f"source: gst://belt\npipelines:\n  belt: {pipeline!r}\n"
    return parse_settings(text, "station.yaml", CameraSettings)


def test_pipelines_are_named():
    pipeline = "v4l2src device=/dev/video0 ! image/jpeg,width=1280,height=720 ! jpegdec"
    assert read(pipeline).pipelines == {"belt": pipeline}


@pytest.mark.parametrize(
    "pipeline",
    [
        "rtspsrc location=rtsp://host/x user-id=admin user-pw=geheim ! decodebin",
        "rtspsrc location=rtsp://host/x user-id=admin user-pw = geheim ! decodebin",
        "rtspsrc location=rtsp://admin:geheim@host/x ! decodebin",
        'rtspsrc location="rtsp://admin:geheim@host/x" ! decodebin',
        "souphttpsrc location=http://host/x user-pw=geheim proxy-pw=geheim ! decodebin",
        "srtsrc uri=srt://host passphrase=geheim ! tsdemux",
    ],
)
def test_a_password_in_a_pipeline_is_refused_and_not_shown(pipeline):
    with pytest.raises(ConfigError, match="a password does not belong into the station") as caught:
        read(pipeline)
    assert "geheim" not in str(caught.value)
    assert "password_env=VARIABLE" in str(caught.value)


@pytest.mark.parametrize(("pipeline", "expected"), [("", "at least 1 character"), (7, "string")])
def test_a_pipeline_is_text(pipeline, expected):
    with pytest.raises(ConfigError, match=expected):
        read(pipeline)
