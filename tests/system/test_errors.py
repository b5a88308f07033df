"""What users get wrong: one clear line, the right exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.brokers import free_port
from tests.system.conftest import COMMANDS, DEMO_BUNDLE, DEMO_IMAGES, Station, results

Break = Callable[[Station], list[str]]


def edit(station: Station, old: str, new: str) -> None:
    text = station.file.read_text()
    assert old in text
    station.file.write_text(text.replace(old, new))


def copy_bundle(station: Station) -> Path:
    target = station.folder / "bundle"
    shutil.copytree(DEMO_BUNDLE, target)
    edit(station, str(DEMO_BUNDLE), str(target))
    return target


def no_file(station: Station) -> list[str]:
    station.file.unlink()
    return []


def wrong_key(station: Station) -> list[str]:
    edit(station, "station: s1", "station: s1\nbundel: x")
    return []


def wrong_yaml(station: Station) -> list[str]:
    edit(station, "mqtt: {broker: none}", "mqtt: {broker: none")
    return []


def missing_bundle(_: Station) -> list[str]:
    return ["--bundle", "nowhere"]


def altered_graph(station: Station) -> list[str]:
    path = copy_bundle(station) / "models" / "inpformer.fp32.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return []


def altered_threshold(station: Station) -> list[str]:
    path = copy_bundle(station) / "thresholds.json"
    path.write_text(path.read_text().replace('"alpha": ', '"alpha":  '))
    return []


def missing_part(station: Station) -> list[str]:
    (copy_bundle(station) / "calibration" / "scores.json").unlink()
    return []


def broken_manifest(station: Station) -> list[str]:
    (copy_bundle(station) / "bundle.json").write_text("{")
    return []


def other_schema(station: Station) -> list[str]:
    path = copy_bundle(station) / "bundle.json"
    data = json.loads(path.read_text())
    data["schema"] = "edge-infer.bundle/9"
    path.write_text(json.dumps(data))
    return []


def escaping_path(station: Station) -> list[str]:
    path = copy_bundle(station) / "bundle.json"
    data = json.loads(path.read_text())
    data["files"]["../../etc/passwd"] = "0" * 64
    path.write_text(json.dumps(data))
    return []


def rehash(bundle: Path, name: str) -> None:
    """Make an altered file look intended: only the engine or the self-test can notice."""
    import hashlib

    path = bundle / "bundle.json"
    data = json.loads(path.read_text())
    data["files"][name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(data))


def not_a_graph(station: Station) -> list[str]:
    bundle = copy_bundle(station)
    (bundle / "models" / "inpformer.fp32.onnx").write_bytes(b"not a graph")
    rehash(bundle, "models/inpformer.fp32.onnx")
    return []


def wrong_golden_score(station: Station) -> list[str]:
    bundle = copy_bundle(station)
    path = bundle / "golden" / "golden.json"
    data = json.loads(path.read_text())
    data["images"][0]["score"] += 0.1
    path.write_text(json.dumps(data))
    rehash(bundle, "golden/golden.json")
    return []


def absent_camera(_: Station) -> list[str]:
    return ["--camera", "v4l2:///dev/video42"]


def absent_folder(_: Station) -> list[str]:
    return ["--camera", "file:///no/such/folder"]


def empty_folder(station: Station) -> list[str]:
    (station.folder / "empty").mkdir()
    return ["--camera", f"file://{station.folder / 'empty'}"]


def unknown_camera(_: Station) -> list[str]:
    return ["--camera", "firewire://0"]


def unknown_camera_key(_: Station) -> list[str]:
    return ["--camera", "test://conveyor?partz=3"]


def unknown_broker(_: Station) -> list[str]:
    return ["--mqtt", "amqp://here"]


def missing_secret(station: Station) -> list[str]:
    edit(station, "broker: none", "broker: external, user: a, password_env: NO_SUCH_SECRET")
    return []


def state_is_a_file(station: Station) -> list[str]:
    station.state.write_text("")
    return []


CASES: list[tuple[Break, int, str]] = [
    (no_file, 2, "no such file"),
    (wrong_key, 2, r"station.yaml:3: bundel: unknown key; did you mean bundle?"),
    (wrong_yaml, 2, "not valid YAML"),
    (missing_bundle, 3, "no such folder; make one with edge-build"),
    (altered_graph, 3, "models/inpformer.fp32.onnx was altered"),
    (altered_threshold, 3, "thresholds.json was altered"),
    (missing_part, 3, "calibration/scores.json is missing"),
    (broken_manifest, 3, "not a JSON object"),
    (other_schema, 3, "expected schema edge-infer.bundle/1, found edge-infer.bundle/9"),
    (escaping_path, 3, "expected a relative path inside the bundle"),
    (not_a_graph, 3, "not an ONNX model"),
    (wrong_golden_score, 4, "golden picture golden/00_good.png: expected score"),
    (absent_camera, 5, "/dev/video42"),
    (absent_folder, 5, "/no/such/folder"),
    (empty_folder, 5, "empty"),
    (unknown_camera, 2, "firewire"),
    (unknown_camera_key, 2, "partz"),
    (unknown_broker, 2, "--mqtt: expected mqtt://HOST:PORT"),
    (missing_secret, 2, "NO_SUCH_SECRET"),
    (state_is_a_file, 6, "state"),
]


@pytest.mark.parametrize(
    ("mistake", "code", "words"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_one_clear_line_and_the_right_code(
    station: Station, mistake: Break, code: int, words: str
) -> None:
    done = station.run(*mistake(station))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("20")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert done.stdout == ""


def test_an_absent_broker_does_not_stop_the_line(station: Station) -> None:
    address = f"mqtt://127.0.0.1:{free_port()}"
    done = station.run("--mqtt", address, "--max-frames", "5", "--json", timeout=60)
    assert done.returncode == 0
    assert len(results(done.stdout)) == 5
    assert "results wait in the outbox rows=5" in done.stderr
    assert done.stderr.count("Connection refused") == 1, "said once"
    assert "Traceback" not in done.stderr


def test_a_truncated_video_is_judged_as_far_as_it_goes(station: Station, tmp_path: Path) -> None:
    import cv2

    picture = cv2.imread(str(sorted((DEMO_IMAGES / "good").glob("*.png"))[0]))
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (256, 256))
    for _ in range(40):
        writer.write(picture)
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    done = station.run("--camera", f"file://{path}", "--json")
    found = results(done.stdout)
    assert done.returncode == 0
    assert 10 <= len(found) < 40
    assert found[-1]["result"] == "error"
    assert found[-1]["reason"] == "camera_error"
    assert all(r["result"] != "error" for r in found[:-1])


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting needs root")
def test_a_full_disk_loses_nothing_silently(station: Station) -> None:
    """A real full file system under the outbox: told, counted, and an exit code that says so."""
    station.state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", str(station.state)],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        done = station.run("--mqtt", f"mqtt://127.0.0.1:{free_port()}", "--json")
    finally:
        subprocess.run(["umount", str(station.state)], check=True)
    assert done.returncode == 6, done.stderr
    stored = len(results(done.stdout))
    assert 0 < stored < 108
    assert "disk is full" in done.stderr
    assert f"{108 - stored} results could not be stored" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "arguments", "code", "words"),
    [
        ("edge-train", ["--data", "nowhere", "--out", "r"], 10, "no such folder"),
        ("edge-train", ["--data", ".", "--out", "r", "--preset", "tiny"], 2, "--preset: expected"),
        ("edge-train", ["--data", ".", "--out", "r", "--size", "big"], 2, "--size: expected two"),
        ("edge-build", ["nowhere", "--out", "b"], 10, "not a run"),
        ("edge-eval", ["nowhere", "--data", "."], 3, "no such folder"),
        ("edge-eval", [str(DEMO_BUNDLE), "--data", "nowhere"], 10, "no such folder"),
        ("edge-watch", ["http://x"], 2, "expected"),
        ("edge-watch", ["mqtt://127.0.0.1:9", "--timeout", "1"], 6, "127.0.0.1:9"),
        ("edge-doctor", ["--mqtt", "x"], 2, "expected mqtt://HOST:PORT"),
    ],
)
def test_other_commands(
    command: str, arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    if command in {"edge-train", "edge-build"}:
        pytest.importorskip("torch", reason="torch not installed")
    done = subprocess.run(
        [str(COMMANDS / command), *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    "command",
    ["edge-infer", "edge-watch", "edge-doctor", "edge-train", "edge-build", "edge-eval"],
)
def test_help_has_examples(command: str) -> None:
    done = subprocess.run(
        [str(COMMANDS / command), "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Examples" in done.stdout
    assert done.stdout.count(command) >= 2
