"""The station's language, as it leaves the process."""

from __future__ import annotations

import pytest

from tests.system.conftest import DEMO_BUNDLE, DEMO_IMAGES, Station, results

BAD = sorted(
    folder for folder in DEMO_IMAGES.iterdir() if folder.is_dir() and folder.name != "good"
)[0]


@pytest.mark.parametrize(("language", "words"), [("", "of the picture"), ("de", "des Bildes")])
def test_findings_speak_the_stations_language(station: Station, language: str, words: str) -> None:
    station.file.write_text(
        f"node: n1\nstation: s1\nbundle: {DEMO_BUNDLE}\nmqtt: {{broker: none}}\n"
        f"camera: {{source: 'file://{BAD}'}}\n" + (f"language: {language}\n" if language else "")
    )
    done = station.run("--json", "--max-frames", "4")
    assert done.returncode == 0, done.stderr
    findings = [
        region["finding"]
        for result in results(done.stdout)
        for defect in result["defects"]
        for region in defect["regions"]
    ]
    assert findings
    assert all(words in finding for finding in findings), findings


def test_a_language_without_words_is_refused(station: Station) -> None:
    station.file.write_text(station.file.read_text() + "language: xx\n")
    done = station.run("--json", "--max-frames", "1")
    assert done.returncode != 0
    assert "language" in done.stderr
