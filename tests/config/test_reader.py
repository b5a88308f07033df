"""Every problem of a YAML file is named, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.mqtt import parse_broker
from edge.config.reader import read_settings
from edge.config.station import StationConfig, read_station
from edge.errors import ConfigError
from tests.support.station_file import GOOD, problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "statoin: x\n", ["6: statoin: unknown key; did you mean station?"]),
        (
            GOOD + "mqtt: {prot: 5, portt: 1883}\n",
            [
                "6: mqtt.prot: unknown key; did you mean port?",
                "6: mqtt.portt: unknown key; did you mean port?",
            ],
        ),
        ("station: x\nbundle: b\ncamera: {source: 'test://conveyor'}\n", ["1: node: missing"]),
        (GOOD + "mqtt:\n  port: eighty\n", ["7: mqtt.port: input should be a valid integer"]),
        (GOOD + "mqtt:\n  port: 70000\n", ["7: mqtt.port: input should be less than or equal"]),
        (GOOD.replace("box1", "box 1"), ["2: node: expected letters, digits, _ and - only"]),
        (GOOD.replace("file://parts", "parts"), ["5: camera.source: expected an address"]),
        (GOOD + "node: again\n", ["6: node: given twice, first on line 2"]),
        (GOOD + "mqtt: {spool: {max_age_s: 7 weeks}}\n", ["6: mqtt.spool.max_age_s: expected a"]),
        (GOOD + "engine: {spin: 20}\n", ["6: engine.spin: input should be 'off', 'brief' or 'on'"]),
        (GOOD + "mqtt: {tls_insecure: true}\n", ["6: mqtt: tls_* keys are set but tls is false"]),
        (
            GOOD + "mqtt: {user: a, user_env: B}\n",
            ["6: mqtt: expected one of user and user_env"],
        ),
        (GOOD + "mqtt: {topic_prefix: 'a/#'}\n", ["6: mqtt.topic_prefix: expected topic levels"]),
        ("- a\n- b\n", [" expected keys such as node"]),
        ("node: [a\n", ["2: not valid YAML"]),
        ("", [" the file is empty"]),
    ],
)
def test_every_problem_is_named(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(expected), found
    for have, want in zip(found, expected):
        assert have.startswith(want), (have, want)


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD + "mqtt:\n  prot: 5\n  port: x\narchiv: {}\n"
    lines = [int(problem.split(":")[0]) for problem in problems(tmp_path, text)]
    assert lines == [7, 8, 9]


def test_a_code_tag_in_yaml_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = f"node: !!python/object/apply:os.mkdir ['{marker}']\n"
    assert "not valid YAML" in problems(tmp_path, text)[0]
    assert not marker.exists()


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file|cannot be read|expected a regular file"):
        read_settings(tmp_path / name, StationConfig)


@pytest.mark.parametrize(
    "text",
    [
        "camera: {source: 'rtsp:/user:geheim@host/x'}",
        "camera: {source: 'user:geheim@host/x'}",
        "camera: {source: 'user:my geheim@host/x'}",
        "camera: {source: 'rtsp%3A//user:geheim%40host'}",
        "camera: {source: geheim@host}",
        "camera: {source: ['rtsp://user:geheim@host/x']}",
        f"camera: 'rtsp://user:geheim{'x' * 80}@host/x'",
        "camera: 'rtsp://user:my geheim@host/x'",
        "mqtt: 'mqtt://user:geheim@host'",
        "mqtt: [{user: edge, password: geheim}]",
        "mqtt: {password: geheim}",
        "mqtt: {password: *geheim}",
        "mqtt: {password: !geheim x}",
        "mqtt: {host: 'mqtt://edge:geheim@10.1.4.5'}",
        "mqtt: {host: 'edge:geheim@10.1.4.5'}",
        "mqtt: {host: 'edge:my geheim@10.1.4.5'}",
        "mqtt: {host: 'edge:geheim%4010.1.4.5'}",
        "mqtt: {port: 'edge:geheim@10.1.4.5'}",
    ],
)
def test_no_problem_of_a_station_file_shows_a_password(tmp_path: Path, text: str) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(f"node: n\nstation: s\nbundle: b\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_station(file)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("host", ["10.1.4.5:1883", "[::1]", "a b", "mqtt://h", "h/x", ""])
def test_the_host_of_a_broker_is_a_host_alone(tmp_path: Path, host: str) -> None:
    file = tmp_path / "station.yaml"
    text = (
        f"node: n\nstation: s\nbundle: b\ncamera: {{source: 'file:///x'}}\nmqtt: {{host: '{host}'}}"
    )
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"mqtt\.host: expected a name or IP address alone"):
        read_station(file)
    file.write_text(text.replace(f"'{host}'", "'::1'"))
    assert read_station(file).mqtt.host == "::1"


@pytest.mark.parametrize(
    "address",
    [
        "mqtt://user:geheim@host",
        "mqtt://user:12/geheim@host",
        "mqtt://user:12?geheim@host",
        "mqtt://user:12#geheim@host",
        "mqtt://user:my geheim@host",
        "mqtt:/user:geheim@host",
        "user:geheim@host:1883",
        "user:my geheim@host:1883",
        "mqtt://user%3Ageheim%40host",
        "http://user:geheim@host",
    ],
)
def test_a_broker_address_shows_no_password(address: str) -> None:
    with pytest.raises(ConfigError, match="--mqtt: ") as caught:
        parse_broker(address, "--mqtt")
    assert "geheim" not in str(caught.value)
    assert "12" not in str(caught.value)
