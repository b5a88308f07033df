"""A share of `make fuzz`: each way in takes thousands of changed inputs without a fault."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import Finding, run
from tests.fuzz.doors import CORPUS, DOORS, make_door

# About a minute in all on one idle core.
INPUTS = {
    "config": 2000, "camera": 6000, "broker": 10000, "command": 10000, "payload": 3000,
    "picture": 8000, "rogue_broker": 300,
}  # fmt: skip


@pytest.mark.parametrize("name", DOORS)
def test_a_door_answers_every_input(name: str) -> None:
    report = run(name, INPUTS.get(name, 400), seed=1)
    assert report.findings == []
    assert report.inputs >= INPUTS.get(name, 400)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.stem)
def test_every_file_of_the_corpus_belongs_to_a_door(path) -> None:
    assert path.name.partition("-")[0] in DOORS


def test_a_campaign_finds_faults(monkeypatch) -> None:
    """An error that is no refusal, a hang and a message that moves the cursor are findings."""
    from tests.fuzz import campaign

    monkeypatch.setattr(campaign, "HANG_S", 0.05)
    door = make_door("broker")
    door.refusals = (ValueError,)
    campaign.signal.signal(campaign.signal.SIGPROF, campaign._hang)
    report = campaign.Report("broker")

    def answer(data: bytes) -> None:
        if data == b"hang":
            while True:
                pass
        raise {b"bug": KeyError("x"), b"escape": ValueError("\x1b[2J")}.get(data, ValueError("no"))

    door.open = answer
    for data in (b"bug", b"escape", b"hang", b"sound refusal"):
        campaign._feed(door, data, report)
    assert [found.data for found in report.findings] == [b"bug", b"escape", b"hang"]
    assert all(isinstance(found, Finding) for found in report.findings)


def test_an_input_that_kills_the_process_is_named(tmp_path) -> None:
    import multiprocessing
    import os

    from tests.fuzz import campaign

    note = tmp_path / "note"
    note.write_bytes((3).to_bytes(8, "little") + (4).to_bytes(8, "little") + b"evil")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=os.abort, daemon=True)
    worker.start()
    sender.close()
    report = campaign._follow(worker, receiver, note, "picture")
    assert [found.data for found in report.findings] == [b"evil"]
    assert "died with -6" in report.findings[0].what
    assert report.inputs == 3
