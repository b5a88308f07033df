from __future__ import annotations

import subprocess
import sys

from edge.cameras.gstreamer.binding import missing_elements
from tests.support.bundles import ROOT

WITHOUT = """
import sys
sys.modules["gi"] = None
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
config = CameraSettings(name="top", source="gst://belt", pipelines={"belt": "videotestsrc"})
try:
    make_source(config).open()
except CameraUnavailable as error:
    print(error)
"""


def test_a_machine_without_gstreamer_learns_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr == ""
    line = done.stdout.strip()
    assert line.startswith("top: gst://belt: Gst: expected PyGObject (gi) for this Python, found ")
    assert "python3-gi" in line
    assert "\n" not in line


def test_missing_elements_are_told_with_their_packages():
    assert missing_elements(["jpegdec"]) == (
        "expected the element jpegdec, which is not installed; install gstreamer1.0-plugins-good"
    )
    assert missing_elements(["avdec_h264", "made_up", "avdec_h264"]) == (
        "expected the elements avdec_h264 and made_up, which are not installed; "
        "install gstreamer1.0-libav; gst-inspect-1.0 lists what is there"
    )
