"""The outbox loses nothing, numbers without gaps, drops only what its limits say, and says so."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.outputs import number_mark, outbox_clock
from edge.outputs.outbox import Outbox, outbox_path
from edge.result import Verdict
from tests.support.mqtt_results import make_payload
from tests.support.small_disk import small_file_system


@pytest.fixture
def path(tmp_path):
    return outbox_path(tmp_path / "state", "jx", "st3")


@pytest.fixture
def memory(tmp_path):
    """Stands for /dev/shm; emptied by a restart of the machine."""
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def open_outbox(path, memory):
    made = []

    def _open(keep=True, **limits):
        made.append(Outbox(path, SpoolSettings(**limits), keep=keep, memory_dir=memory))
        return made[-1]

    yield _open
    for outbox in made:
        outbox.close()


def seqs(outbox):
    return [row.seq for row in outbox.pending(0, 10_000)]


def test_results_get_numbers_and_ids_and_come_back_in_order(open_outbox, path):
    outbox = open_outbox()
    numbered = outbox.append([make_payload(f"p-{i}") for i in range(3)])
    assert path.name == "jx.st3.outbox.db"
    assert [p["seq"] for p in numbered] == [1, 2, 3]
    assert len({p["msg_id"] for p in numbered}) == 3
    rows = outbox.pending(1, 10)
    assert [json.loads(row.payload) for row in rows] == numbered[1:]
    assert [row.seq for row in outbox.pending(0, 2)] == [1, 2]


def test_numbers_counts_and_results_survive_a_restart(open_outbox):
    outbox = open_outbox()
    verdicts = [Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.ERROR]
    outbox.append([make_payload(verdict=verdict) for verdict in verdicts])
    outbox.remove([2, 3])
    outbox.close()
    again = open_outbox()
    assert seqs(again) == [1, 4]
    assert again.depth == 2
    assert again.last_seq == 4
    assert again.counts == {"pass": 2, "fail": 1, "undecided": 0, "error": 1}
    assert again.append([make_payload()])[0]["seq"] == 5
    again.remove([1, 4, 5])
    again.close()
    # An empty outbox still knows where numbering stood.
    assert open_outbox().append([make_payload()])[0]["seq"] == 6


def test_depth_and_bytes_follow_what_is_stored(open_outbox):
    outbox = open_outbox()
    outbox.append([make_payload("ä" * i) for i in (1, 10, 100)])
    stored = [len(row.payload.encode()) for row in outbox.pending(0, 10)]
    assert (outbox.depth, outbox.bytes) == (3, sum(stored))
    outbox.remove([2])
    outbox.remove([2, 99])  # forgetting twice, or what never was, changes nothing
    assert (outbox.depth, outbox.bytes) == (2, stored[0] + stored[2])
    outbox.close()
    again = open_outbox()
    assert (again.depth, again.bytes) == (2, stored[0] + stored[2])


def test_beyond_the_row_limit_the_oldest_go_and_are_counted(open_outbox):
    outbox = open_outbox(max_rows=5)
    for i in range(8):
        outbox.append([make_payload(f"p-{i}")])
    assert seqs(outbox) == [4, 5, 6, 7, 8]
    assert outbox.lost == 3
    outbox.close()
    assert open_outbox(max_rows=5).lost == 3


def test_beyond_the_byte_limit_the_oldest_go(open_outbox):
    size = len(json.dumps(make_payload()).encode())
    outbox = open_outbox(max_bytes=4 * size)
    outbox.append([make_payload() for _ in range(10)])
    assert outbox.bytes <= 4 * size
    assert seqs(outbox) == list(range(11 - outbox.depth, 11))
    assert outbox.lost == 10 - outbox.depth > 0


class Machine:
    """A machine's clocks and its memory, set by hand."""

    def __init__(self, monkeypatch, memory):
        self.boot, self.up_s, self.wall_s, self._memory = "run-1", 50.0, 1_900_000_000.0, memory
        monkeypatch.setattr(outbox_clock, "boot_id", lambda: self.boot)
        monkeypatch.setattr(number_mark, "boot_id", lambda: self.boot)
        monkeypatch.setattr(outbox_clock, "boot_s", lambda: self.up_s)
        monkeypatch.setattr(time, "time", lambda: self.wall_s)

    def wait(self, seconds):
        self.up_s += seconds
        self.wall_s += seconds

    def restart(self, off_s):
        self.boot, self.up_s = self.boot + "x", 20.0
        self.wall_s += off_s
        for file in self._memory.iterdir():
            file.unlink()


@pytest.fixture
def machine(monkeypatch, memory):
    return Machine(monkeypatch, memory)


def test_beyond_the_age_limit_the_oldest_go(open_outbox, machine):
    outbox = open_outbox(max_age_s=3600)
    outbox.append([make_payload()])
    machine.wait(3000)
    outbox.append([make_payload()])
    assert (seqs(outbox), outbox.oldest_age_s()) == ([1, 2], 3000)
    assert [row.age_s for row in outbox.pending(0, 10)] == [3000, 0]
    machine.wait(3000)
    outbox.append([make_payload()])
    assert (seqs(outbox), outbox.lost) == ([2, 3], 1)


@pytest.mark.parametrize("jump_s", [7200, 8 * 86400, -8 * 86400, -1_900_000_000])
def test_a_clock_that_is_set_makes_no_result_older(open_outbox, machine, jump_s):
    outbox = open_outbox(max_age_s=3600)
    outbox.append([make_payload() for _ in range(32)])
    machine.wait(60)
    machine.wall_s += jump_s
    outbox.append([make_payload()])
    assert (outbox.depth, outbox.lost, outbox.oldest_age_s()) == (33, 0, 60)
    outbox.close()
    machine.wait(60)
    again = open_outbox(max_age_s=3600)
    again.append([make_payload()])
    assert (again.depth, again.lost, again.oldest_age_s()) == (34, 0, 120)


@pytest.mark.parametrize("off_s", [60, 30 * 86400, -30 * 86400])
def test_time_switched_off_does_not_count_and_time_before_does(open_outbox, machine, off_s):
    outbox = open_outbox(max_age_s=3600)
    outbox.append([make_payload()])
    machine.wait(3000)
    outbox.append([make_payload()])
    outbox.close()
    machine.restart(off_s)
    again = open_outbox(max_age_s=3600)
    again.append([make_payload()])
    assert (seqs(again), again.oldest_age_s()) == ([1, 2, 3], 3000)
    machine.wait(700)
    again.append([make_payload()])
    assert (seqs(again), again.lost) == ([2, 3, 4], 1)


def test_an_outbox_of_the_layout_before_goes_on_with_its_numbers_and_ages_begin_again(
    open_outbox, path, machine
):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE results (seq INTEGER PRIMARY KEY, created_s REAL NOT NULL, "
            "size INTEGER NOT NULL, payload TEXT NOT NULL)"
        )
        db.execute("CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        db.execute("INSERT INTO totals VALUES ('seq', 7), ('fail', 7)")
        text = json.dumps({**make_payload(), "seq": 7, "msg_id": "m"})
        db.execute("INSERT INTO results VALUES (7, 1000, ?, ?)", (len(text), text))
        db.execute("PRAGMA user_version = 1")
    db.close()
    outbox = open_outbox(max_age_s=3600)
    assert (str(outbox.continuity), outbox.counts["fail"]) == ("", 7)
    assert outbox.append([make_payload()])[0]["seq"] == 8
    assert (seqs(outbox), outbox.oldest_age_s()) == ([7, 8], 0)


def test_decisions_that_memory_lost_leave_their_own_numbers_as_a_gap(open_outbox):
    outbox = open_outbox()
    outbox.append([make_payload()])
    for _ in range(3):
        outbox.number(make_payload())
    last = outbox.number(make_payload())
    outbox.append([last], lost={"pass": 2, "error": 1})
    assert seqs(outbox) == [1, 5]
    assert outbox.lost == 3
    assert outbox.counts == {"pass": 2, "fail": 2, "undecided": 0, "error": 1}
    assert sum(outbox.counts.values()) == outbox.last_seq


def test_results_that_can_never_be_delivered_are_counted_as_lost(open_outbox):
    outbox = open_outbox()
    outbox.append([make_payload(), make_payload()])
    outbox.remove([1], lost=True)
    assert (outbox.lost, outbox.depth) == (1, 1)
    outbox.close()
    assert open_outbox().lost == 1


def test_without_a_broker_it_numbers_and_counts_but_keeps_nothing(open_outbox):
    outbox = open_outbox(keep=False)
    assert [p["seq"] for p in outbox.append([make_payload(), make_payload()])] == [1, 2]
    assert (outbox.depth, seqs(outbox), outbox.lost) == (0, [], 0)
    outbox.close()
    assert open_outbox().last_seq == 2


def test_a_second_process_is_refused_with_the_pid_of_the_first(open_outbox, path):
    open_outbox()
    with pytest.raises(PublishError, match=rf"another edge-infer .*pid {os.getpid()}"):
        Outbox(path, SpoolSettings())
    code = (
        "import sys; from pathlib import Path; from edge.outputs.outbox import Outbox\n"
        "from edge.config.mqtt import SpoolSettings\n"
        "Outbox(Path(sys.argv[1]), SpoolSettings())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert f"pid {os.getpid()}" in child.stderr


def test_a_file_that_is_no_database_is_set_aside_untouched(open_outbox, path):
    path.parent.mkdir()
    content = b"not a database, but long enough to be one" * 100
    path.write_bytes(content)
    outbox = open_outbox()
    assert path.with_name(f"{path.name}.damaged-1").read_bytes() == content
    assert "the outbox was damaged and is now jx.st3.outbox.db.damaged-1" in str(outbox.continuity)
    assert outbox.append([make_payload()])[0]["seq"] == 1


def spoil(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def test_a_damaged_file_is_set_aside_and_its_numbers_are_not_used_again(open_outbox, path):
    outbox = open_outbox()
    outbox.append([make_payload() for _ in range(50)])
    identity = outbox.outbox_id
    outbox.close()
    spoil(path)
    again = open_outbox()
    told = str(again.continuity)
    assert "damaged-1; " in told
    assert "numbering goes on at 51" in told
    assert "50 results lost" in told, "they waited in it"
    assert again.append([make_payload()])[0]["seq"] == 51
    assert (again.outbox_id, again.unaccounted, again.lost) == (identity, 50, 50)
    again.close()
    spoil(path)
    assert open_outbox().last_seq == 51
    assert path.with_name(f"{path.name}.damaged-2").exists()


def test_damage_in_use_costs_what_cannot_be_read_and_no_number(open_outbox, path, monkeypatch):
    outbox = open_outbox()
    outbox.append([make_payload() for _ in range(50)])
    outbox._tables._db.execute("DROP TABLE results")
    told = []
    outbox.on_break = lambda: told.append(str(outbox.continuity))
    with pytest.raises(PublishError, match="set aside, a new one takes its place"):
        outbox.append([make_payload()])
    assert outbox.append([make_payload()])[0]["seq"] == 52
    assert len(told) == 1
    assert "0 of 50 results that waited were kept" in told[0]
    assert (outbox.lost, outbox.depth) == (51, 1)


def test_a_file_that_is_removed_in_use_is_made_again_with_all_results(open_outbox, path):
    outbox = open_outbox()
    outbox.append([make_payload() for _ in range(50)])
    for part in path.parent.glob(f"{path.name}*"):
        if part.suffix in (".db", ".db-wal", ".db-shm"):
            part.unlink()
    assert outbox.append([make_payload()])[0]["seq"] == 51
    assert seqs(outbox) == list(range(1, 52))
    assert "removed while in use; 50 of 50 results" in str(outbox.continuity)
    outbox.close()
    assert seqs(open_outbox()) == list(range(1, 52))


@pytest.mark.parametrize("layout", [0, 2])
def test_another_layout_or_a_foreign_database_is_refused(path, layout):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE customers (name TEXT)")
        db.execute(f"PRAGMA user_version = {layout}")
    db.close()
    with pytest.raises(PublishError, match=f"expected layout 2, found {layout}"):
        Outbox(path, SpoolSettings())


def test_a_state_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PublishError, match="expected a folder to write to"):
        Outbox(tmp_path / "file" / "x.db", SpoolSettings())


def test_a_full_database_stores_nothing_and_results_keep_their_numbers(open_outbox):
    outbox = open_outbox()
    outbox.append([make_payload("first")])
    (pages,) = outbox._tables._db.execute("PRAGMA page_count").fetchone()
    outbox._tables._db.execute(f"PRAGMA max_page_count = {pages}")
    numbered = [outbox.number(make_payload("x" * 10_000)) for _ in range(10)]
    with pytest.raises(PublishError, match="the disk is full; free space"):
        outbox.append(numbered)
    assert (outbox.last_seq, outbox.depth, outbox.counts["fail"]) == (1, 1, 1)
    outbox._tables._db.execute("PRAGMA max_page_count = 1000000")
    outbox.append(numbered)
    assert seqs(outbox) == list(range(1, 12))


def test_every_commit_of_a_result_is_flushed_and_a_removal_is_not(open_outbox):
    outbox = open_outbox()
    statements = []
    outbox._tables._db.set_trace_callback(statements.append)
    outbox.append([make_payload()])
    outbox.remove([1])
    interesting = [s for s in statements if s.startswith(("PRAGMA", "COMMIT"))]
    assert interesting == [
        "PRAGMA synchronous = FULL",
        "COMMIT",
        "PRAGMA synchronous = NORMAL",
        "COMMIT",
    ]
    (mode,) = outbox._tables._db.execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"


@pytest.fixture
def small_disk():
    """A file system of 8 MiB, which only root can make."""
    yield from small_file_system("8m")


def append_until_full(outbox, limit=100_000):
    """Return how many results fitted."""
    try:
        for i in range(limit):
            outbox.append([make_payload(f"p-{i}")])
    except PublishError as error:
        assert "the disk is full" in str(error)  # noqa: PT017 - the loop needs the count
        return i
    raise AssertionError("the disk was never full")


def test_a_disk_that_the_outbox_filled_empties_when_results_are_delivered(small_disk):
    outbox = Outbox(small_disk / "x.db", SpoolSettings())
    fitted = append_until_full(outbox)
    assert outbox.last_seq == outbox.depth == fitted > 1000
    outbox.remove(list(range(1, 101)))
    assert outbox.append([make_payload()])[0]["seq"] == fitted + 2, "one was refused"
    while rows := outbox.pending(0, 100):
        outbox.remove([row.seq for row in rows])
    again = append_until_full(outbox)
    assert again > 0.8 * fitted, "the space is used again"
    outbox.close()


def test_a_disk_that_others_filled_loses_nothing_that_was_committed(small_disk):
    outbox = Outbox(small_disk / "x.db", SpoolSettings())
    outbox.append([make_payload(f"p-{i}") for i in range(100)])
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * 2**23)
    before = append_until_full(outbox)
    outbox.close()
    outbox = Outbox(small_disk / "x.db", SpoolSettings())
    assert seqs(outbox) == list(range(1, 101 + before))
    with pytest.raises(PublishError, match="the disk is full"):
        outbox.append([make_payload("x" * 100_000)])
    filler.unlink()
    assert outbox.append([make_payload()])[0]["seq"] == 103 + before, "two were refused"
    outbox.close()


def test_the_files_are_their_owners_alone_and_no_links(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        outbox = Outbox(tmp_path / "box.db", SpoolSettings())
        outbox.append([make_payload()])
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        outbox.close()
    finally:
        os.umask(before)
    assert {"box.db", "box.db.lock", "box.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("name", ["box.db", "box.db.lock"])
def test_a_link_in_the_place_of_a_file_is_refused_and_its_target_kept(
    tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(PublishError, match="symbolic link; delete it"):
        Outbox(tmp_path / "box.db", SpoolSettings())
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
