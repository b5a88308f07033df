import pytest

from edge.cameras.factory import is_live, make_source
from edge.cameras.simulator.conveyor import ConveyorSource
from edge.cameras.v4l2 import V4l2Source
from edge.config.camera import CameraSettings
from edge.errors import ConfigError
from edge.redaction import redacted


def source(address, **settings):
    return make_source(CameraSettings(source=address, **settings))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tset://conveyor", "tset:// is unknown; use one of file://"),
        ("http://host/video", "http:// is unknown; use one of file://, v4l2://, rtsp://, "),
        ("file://", "expected a path, such as file:///data/parts"),
        ("file:///data?fsp=5", "unknown key fsp; did you mean fps?"),
        ("file:///data?colour=1", "unknown key colour; known: fps, loop, timing, labels"),
        ("file:///data?fps=fast", "fps: expected a number of 0 or more, got fast"),
        ("file:///data?fps=-1", "fps: expected a number of 0 or more, got -1"),
        ("file:///data?fps=nan", "fps: expected a number of 0 or more, got nan"),
        ("file:///data?fps=inf", "fps: expected a number of 0 or more, got inf"),
        ("file:///data?fps=", "fps: expected a value, got nothing"),
        ("file:///data?fps=5&fps=6", "fps: given twice"),
        ("file:///data?loop=yes", "loop: expected 0 or 1, got yes"),
        ("file:///data?timing=fast", "timing: expected original, got fast"),
        ("file:///data?fps=5&timing=original", "expected one of fps and timing=original, got both"),
        ("file:///data?labels=name", "labels: expected folder or none, got name"),
        ("file:///data/a.avi?lop=1", "unknown key lop; did you mean loop?"),
        ("v4l2://", "expected a device, such as v4l2:///dev/v4l/by-id/usb-…"),
        ("v4l2://dev/video0", "expected a device"),
        ("v4l2:///dev/video0?widht=640", "unknown key widht; did you mean width?"),
        ("v4l2:///dev/video0?width=640", "expected width and height together, got one of them"),
        ("v4l2:///dev/video0?width=0&height=1", "width: expected a whole number from 1 on, got 0"),
        ("v4l2:///dev/video0?fourcc=MJPEG", "fourcc: expected four letters such as MJPG"),
        ("v4l2:///dev/video0?fps=0.1", "fps: 0.1 is a frame every 10 s, but after"),
        ("rtsp:///path", "expected rtsp://host[:port]/path"),
        ("rtsp://host:x/path", "expected rtsp://host[:port]/path"),
        ("rtsp://h/p?transport=http", "transport: expected tcp or udp, got http"),
        ("rtsp://h/p?trasport=tcp", "unknown key trasport; did you mean transport?"),
        ("rtsp://h/p?latency=-5", "latency: expected a whole number from 0 on, got -5"),
        ("rtsp://u:geheim@h/p", "name it with password_env=VARIABLE or password_file=/path"),
        ("rtsp://u@h/p?user_env=U", "expected one of user@ and user_env, got both"),
        ("rtsp://u@h/p?password_env=P&password_file=/p", "expected one of password_env and"),
        ("rtsp://h/p?password_env=P", "expected user@ or user_env beside the password, got none"),
        ("rtsp://u@h/p?password_file=p", "password_file: expected an absolute path, got p"),
        ("test://pattern", "expected test://conveyor, got test://pattern"),
        ("test://conveyor?part=5", "unknown key part; did you mean parts?"),
        ("test://conveyor?parts=0", "parts: expected a whole number from 1 on, got 0"),
        ("test://conveyor?parts=1.5", "parts: expected a whole number from 1 on, got 1.5"),
        ("test://conveyor?size=640", "size: expected WIDTHxHEIGHT, each 32 to 2560, got 640"),
        ("test://conveyor?size=8x8", "size: expected WIDTHxHEIGHT, each 32 to 2560, got 8x8"),
        ("test://conveyor?defect_rate=2", "defect_rate: expected a number from 0 to 1, got 2"),
        ("test://conveyor?fps=0.2", "fps: 0.2 is a frame every 5 s, but after stall_timeout_s 5"),
        ("test://conveyor?fault=freze:1:2", "fault: unknown fault freze:1:2; did you mean freeze?"),
        ("test://conveyor?fault=drop", "fault: expected drop:SHARE with a share from 0 to 1"),
        (
            "test://conveyor?fault=drop:2",
            "expected drop:SHARE with a share from 0 to 1, got drop:2",
        ),
        ("test://conveyor?fault=lost:5", "expected lost:AFTER:SECONDS with a number of parts"),
        ("test://conveyor?fault=hang:-1:5", "expected hang:AFTER:SECONDS"),
        ("test://conveyor?fault=black:1:0", "expected black:AFTER:SECONDS"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(address, expected):
    with pytest.raises(ConfigError) as caught:
        source(address)
    text = str(caught.value)
    assert expected in text
    assert text.startswith("camera address ")
    assert "\n" not in text
    assert "geheim" not in text


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:geheim@host/x",
        "rtsp://user:12/geheim@host/x",
        "rtsp://user:12?geheim@host/x",
        "rtsp://user:12#geheim@host/x",
        "rtsp://user:12?geheim&geheim@host/x",
        "rtsp://user:a?geheim@host/x",
        "rtsp://h/x?transport=geheim@host",
        "rtsp://user:my geheim@host/x",
        "user:geheim@rtsp://host/x",
        " rtsp://user:geheim@host/x",
        "rtps://user:geheim@host/x",
        "rtsp://user:ge＠heim@geheim@host",
        "rtsp://user:geheim@[::1/x",
    ],
)
def test_a_mistyped_password_is_in_no_error(address):
    with pytest.raises(ConfigError) as caught:
        source(address)
    assert "geheim" not in str(caught.value)
    assert "12" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("file:///nowhere/at/all?fps=5&loop=1", False),
        ("file:///nowhere/*.png?timing=original&labels=none", False),
        ("file:///nowhere/a%20b.AVI?timing=original", False),
        ("v4l2:///dev/v4l/by-id/usb-x?width=640&height=480&fps=30&fourcc=MJPG", True),
        ("rtsp://u@host:8554/a/b?transport=udp&latency=50&user=1", True),
        ("rtsp://[::1]/a", True),
        ("RTSP://host/a", True),
        ("test://conveyor", False),
        ("test://conveyor?fps=0", False),
        ("test://conveyor?fps=10&fault=drop:0.01,freeze:5:1,black:6:1,hang:7:1,swap_rgb", True),
    ],
)
def test_a_right_address_makes_a_source_without_touching_anything(address, expected):
    assert callable(source(address).read)
    assert is_live(CameraSettings(source=address)) is expected


def test_whether_a_camera_is_live_is_told_without_a_source(monkeypatch):
    monkeypatch.setattr(V4l2Source, "from_address", pytest.fail)
    monkeypatch.setattr(ConveyorSource, "from_address", pytest.fail)
    assert is_live(CameraSettings(source="v4l2://2"))
    assert is_live(CameraSettings(source="test://conveyor?fps=10"))


@pytest.mark.parametrize("address", ["http://host/video", "test://conveyor?fps=fast"])
def test_whether_a_wrong_address_is_live_is_no_question(address):
    with pytest.raises(ConfigError, match="camera address"):
        is_live(CameraSettings(source=address))


def test_a_bare_camera_index_works_with_a_warning(caplog):
    source("v4l2://2")
    assert "camera index is not stable" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://host/p?transport=tcp", "rtsp://host/p?transport=tcp"),
        ("rtsp://user:pa55@host/p", "rtsp://***@host/p"),
        ("rtsp://user@host/p", "rtsp://***@host/p"),
        ("rtsp://user:p@ss/w?rd@host/p", "rtsp://***@host/p"),
        ("open rtsp://u:p@h/x failed", "open rtsp://***@h/x failed"),
        ("rtsp://h/p?token=abc&fps=5", "rtsp://h/p?token=***&fps=5"),
        ("rtsp://h/p?a=1&Password=abc", "rtsp://h/p?a=1&Password=***"),
        ("rtsp://h/p?user=a&pwd=b&api_key=c", "rtsp://h/p?user=***&pwd=***&api_key=***"),
        ("rtsp://h/user=admin_password=abc_channel=1", "rtsp://h/user=***"),
        ("rtsp://h/p?password_env=CAM_PW", "rtsp://h/p?password_env=CAM_PW"),
        ("rtsp://h/p?password_file=/run/pw", "rtsp://h/p?password_file=/run/pw"),
        ("file:///data/a@b/c.png", "file:///data/a@b/c.png"),
        ("test://conveyor?fps=5", "test://conveyor?fps=5"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "source",
    ["file://~nobody_here/x", "file:///a%00b/x.png", "rtsp://[::1/x", "rtsp://[", "file://~/%00"],
)
def test_what_libraries_refuse_is_one_line_about_the_address(source: str) -> None:
    with pytest.raises(ConfigError, match=r"camera address .*: not an address: .+") as caught:
        make_source(CameraSettings(source=source))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["file:///data", "rtsp://host/path", "test://conveyor"])
def test_features_of_a_camera_without_any_are_refused(address):
    with pytest.raises(ConfigError, match=r"camera\.features: .* only v4l2://, genicam://, pylon"):
        source(address, features={"Gain": 4})
