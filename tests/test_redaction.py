"""No spelling of an address, right or wrong, lets a password through."""

from __future__ import annotations

import time

import pytest

from edge.redaction import redacted, redacted_address, redacted_words

SECRET = "geheim"
# Spellings of one address, each with the same password; all are hidden also in running text.
SPELLINGS = [
    "rtsp://user:geheim@host/x",
    "RTSP://user:geheim@host/x",
    "rtsp://:geheim@host/x",
    "rtsp://geheim@host/x",
    "rtsp://user:geheim@user:geheim@host/x",
    "rtsp://user:ge@geheim@host/x",
    "rtsp://user:geheim@@host/x",
    "rtsp://user:a/geheim@host/x",
    "rtsp://user:a?geheim@host/x",
    "rtsp://user:a#geheim@host/x",
    "rtsp://user:12/geheim@host/x",
    "rtsp://user:a://geheim@host/x",
    "rtsp://user:a geheim@host/x",
    "rtsp://user:geheim b@host/x",
    "rtsp://user:geheim b@c geheim@host/x",
    "rtsp:/user:geheim@host/x",
    "rtsp:///user:geheim@host/x",
    "rtsp:user:geheim@host/x",
    "rtsp//user:geheim@host/x",
    "rtsp;//user:geheim@host/x",
    "rtsp:\\\\user:geheim@host\\x",
    "user:geheim@host/x",
    "//user:geheim@host/x",
    "user:geheim@host:8883",
    "mqtt://user:geheim@host:1883",
    "mqtts://user:geheim@[::1]:8883",
    "mqtt:user:geheim@host",
    "mqtt://mqtt://user:geheim@host:1883",
    "rtsp%3A%2F%2Fuser%3Ageheim%40host/x",
    "rtsp://user%3Ageheim%40host/x",
    "rtsp%253A%252F%252Fuser%253Ageheim%2540host",
    "rtsp://user:geheim%40host/x",
    "rtsp://user:geheim＠host/x",
    "rtsp：//user：geheim＠host/x",
    "http://user:geheim@host/v1/chat/completions",
    "rtsp://h/p?token=geheim",
    "rtsp://h/p?a=1&Password=geheim&fps=5",
    "rtsp://h/user=admin_password=geheim_channel=1",
    "{'user': 'edge', 'password': 'geheim'}",
    '{"user": "edge", "api_key": "geheim", "port": 1}',
    "Authorization: Bearer geheim",
    "{'Authorization': 'Basic geheim'}",
]


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize(
    "sentence",
    [
        "{}",
        "error: camera address {}: expected scheme://…, such as file:///data",
        "source={} name=top",
        "got ['{}']",
        "{}\nfurther line",
        "open {} failed, then rtsp://user:geheim@host/x failed, said bob@plant",
    ],
)
def test_no_password_is_left_in_running_text(text: str, sentence: str) -> None:
    shown = redacted(sentence.format(text))
    assert SECRET not in shown
    assert "***" in shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        *SPELLINGS,
        " rtsp://user:geheim@host/x",
        "user:my geheim@host/x",
        "user:geheim word@host/x",
        "geheim@host",
        "rtsp user geheim@host",
        "rtsp://user:a\ngeheim@host",
        "rtsp://h/p?password=my geheim&fps=5",
    ],
)
def test_no_password_is_left_in_an_address(text: str) -> None:
    assert SECRET not in redacted_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://host/p?transport=tcp",
        "rtsp://host:554/p",
        "rtsp://[::1]:554/p",
        "file:///data/a@b/c.png",
        "test://conveyor?fps=5",
        "v4l2:///dev/v4l/by-id/usb@1",
        "rtsp://h/p?password_env=CAM_PW",
        "rtsp://h/p?password_file=/run/pw",
        "mqtt.password_file: /run/pw: expected a regular file, found a folder",
        "mqtt.tls_client_key: expected a PEM file",
        "command accepted name=stop by='bob@line4' cmd_id=17",
        "recipe restored recipe=a by='bob@line4' since=2026-11-29T10:00:00Z file_recipe=b",
        "broker mqtts://10.1.4.5:8883: refuses the connection: Not authorized; check user",
        "2026-11-29T10:00:00.000Z INFO station: ready by bob@line4",
        "expected one of user@ and user_env, got both",
        "a 3:4 view of 12:30",
        "result/1",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_is_left_says_which_camera_it_was() -> None:
    assert redacted("rtsp://user:geheim@host:8554/x?fps=5") == "rtsp://***@host:8554/x?fps=5"
    assert redacted_address("user:geheim@host:8554/x") == "***@host:8554/x"
    assert redacted_address("rtsp://user:my geheim@host/x") == "rtsp://***@host/x"
    assert redacted_address("file:///data/a@b") == "file:///data/a@b"
    assert redacted_words("unexpected extra argument (geheim@host/x)").endswith("(***@host/x)")


@pytest.mark.parametrize(
    "piece", ["a:", "rtsp://", "@", "/", "a", "_", "a ", "rtsp://u: ", "%25", "Bearer ", "'", "a@"]
)
def test_long_text_takes_time_by_its_length_only(piece: str) -> None:
    text = "rtsp:" + piece * (60_000 // len(piece)) + " a@b"
    began = time.process_time()
    redacted(text)
    redacted_address(text)
    redacted_words(text)
    assert time.process_time() - began < 5, "a hundredfold of what it takes"
