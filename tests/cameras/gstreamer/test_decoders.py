from __future__ import annotations

import itertools
import typing

import pytest

from edge.cameras.gstreamer.decoders import (
    Codec,
    Platform,
    decoder,
    find_platform,
    jetpack_of,
    unpacked,
)

PLATFORMS, CODECS = typing.get_args(Platform), typing.get_args(Codec)


@pytest.mark.parametrize(("platform", "codec"), [*itertools.product(PLATFORMS, CODECS)])
def test_every_platform_has_a_decoder_for_every_codec(platform, codec):
    text = decoder(platform, codec, lambda _: True)
    assert text
    assert unpacked(codec).startswith("rtp")
    assert ("nvvidconv" in text) == ("nvv4l2decoder" in text), "a Jetson's pictures are in NVMM"


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_flag_that_jetpack_7_lacks_is_named_before_it_only(codec):
    flag = "enable-max-performance"
    has = {name for name in PLATFORMS if flag in decoder(name, codec, lambda _: True)}
    assert has == {"jetpack5", "jetpack6"}


def test_the_first_installed_choice_is_taken_and_without_any_the_first():
    assert decoder("cpu", "h264", lambda name: name == "openh264dec") == "openh264dec"
    assert decoder("cpu", "h264", lambda _: False) == "avdec_h264"
    assert decoder("vaapi", "jpeg", lambda name: name == "jpegdec") == "jpegdec"


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "jetpack5"),
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "jetpack6"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic", "jetpack7"),
        ("# R39 (release), REVISION: 0.0", "jetpack7"),
        ("# R32 (release), REVISION: 7.1", "jetpack5"),
        ("", None),
        ("Ubuntu 22.04", None),
    ],
)
def test_the_jetpack_is_read_from_the_release(release, expected):
    assert jetpack_of(release) == expected


def test_the_platform_is_told_by_what_is_installed():
    assert find_platform(lambda name: name == "nvh264dec") == "nvidia"
    assert find_platform(lambda name: name == "vah264dec") == "vaapi"
    assert find_platform(lambda _: False) == "cpu"
