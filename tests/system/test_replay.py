"""A station archives raw frames; edge-infer judges them again and tells which verdicts changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.archive.layout import frames_between
from tests.support.bundles import make_bundle
from tests.system.conftest import Station, results

PARTS = 40


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Station, Path, list[dict]]:
    """The station, its archive and the results of the parts in it."""
    folder = tmp_path_factory.mktemp("station")
    station, archive = Station(folder), folder / "kept"
    raw = "{pass: all, min_free_bytes: 0}"
    text = station.file.read_text() + f"archive: {{path: {archive}, keep: none, raw: {raw}}}\n"
    station.file.write_text(text)
    # Good and defective parts of the demo; no rate, so that the source waits for the archive.
    done = station.run("--json", "--max-frames", str(PARTS + 20))
    assert done.returncode == 0, done.stderr
    return station, archive, results(done.stdout)


def test_every_result_has_its_frame(archived: tuple[Station, Path, list[dict]]) -> None:
    _, archive, found = archived
    frames = list(frames_between(archive))
    assert len(frames) == len(found) == PARTS + 20
    records = [json.loads(f.with_name(f.name + ".json").read_text())["result"] for f in frames]
    assert sorted(records, key=lambda r: r["seq"]) == found
    assert not list(archive.glob("*.webp"))


def test_the_same_bundle_judges_alike(archived: tuple[Station, Path, list[dict]]) -> None:
    station, archive, before = archived
    files = sorted(archive.rglob("*"))
    done = station.run("--camera", f"replay://{archive}", "--json")
    assert done.returncode == 0, done.stderr
    *again, report = results(done.stdout)
    assert (report["schema"], report["compared"], report["changed"]) == (
        "edge-infer.replay/1", len(before), 0,
    )  # fmt: skip
    assert [r["score"] for r in again] == [r["score"] for r in before]
    assert [r["part"] for r in again] == [r["part"] for r in before]
    assert all(r["is_replayed"] for r in again)
    assert not any(r["is_replayed"] for r in before)
    assert sorted(archive.rglob("*")) == files, "a replay is not archived"


def test_another_threshold_changes_exactly_the_verdicts_between_the_two(
    archived: tuple[Station, Path, list[dict]], tmp_path: Path
) -> None:
    station, archive, before = archived
    scores = sorted(r["score"] for r in before if r["result"] == "fail")
    threshold = scores[len(scores) // 2]
    bundle = make_bundle(tmp_path, "stricter", threshold=threshold + 1e-6)
    expected = {r["part"]["id"] for r in before if r["threshold"] < r["score"] <= threshold}
    options = ("--camera", f"replay://{archive}", "--bundle", str(bundle))
    done = station.run(*options, "--json")
    assert done.returncode == 11
    assert done.stderr.endswith(f"error: {len(expected)} of {len(before)} verdicts changed\n")
    report = results(done.stdout)[-1]
    assert {c["part_id"] for c in report["changes"]} == expected
    assert {(c["was"], c["now"]) for c in report["changes"]} == {("fail", "pass")}
    assert {c["now_recipe"].split()[0] for c in report["changes"]} == {"stricter"}
    assert sum(row["count"] for row in report["verdicts"]) == len(before)
    # For people: a table on standard output.
    done = station.run(*options)
    assert done.returncode == 11
    assert f"{len(before)} archived frames judged again: {len(expected)} changed" in done.stdout


def test_damaged_frames_are_counted_and_the_rest_is_compared(
    archived: tuple[Station, Path, list[dict]],
) -> None:
    station, archive, before = archived
    first, second, *_ = frames_between(archive)
    record, picture = (p.with_name(p.name + s) for p, s in ((first, ".json"), (second, ".png")))
    kept = record.read_bytes(), picture.read_bytes()
    record.write_text("{")
    picture.unlink()
    try:
        done = station.run("--camera", f"replay://{archive}")
        as_json = station.run("--camera", f"replay://{archive}", "--json")
    finally:
        record.write_bytes(kept[0])
        picture.write_bytes(kept[1])
    assert done.returncode == as_json.returncode == 0
    assert f"{len(before) - 2} archived frames judged again: 0 changed, 2 damaged" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("not compared: ")]
    assert len(lines) == 2
    report = results(as_json.stdout)[-1]
    assert (report["damaged"], report["changed"]) == (2, 0)
    assert first.name in report["damaged_frames"][0]
    assert second.name in report["damaged_frames"][1]
