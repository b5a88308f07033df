"""No number is used twice and no lost result goes unseen, whatever a crash or a person leaves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.outputs.continuity import Found, judge
from edge.outputs.number_file import SLOT_BYTES, NumberFile, NumberRecord, number_path
from edge.outputs.number_mark import Marked
from edge.outputs.numbers import BLOCK
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_file import log_path
from tests.support.mqtt_results import make_payload

STORES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from edge.config.mqtt import SpoolSettings
from edge.outputs.outbox import Outbox
from tests.support.mqtt_results import make_payload
outbox = Outbox(Path(sys.argv[1]), SpoolSettings(), memory_dir=Path(sys.argv[2]))
outbox.append([make_payload() for _ in range(int(sys.argv[3]))])
for _ in range(int(sys.argv[4])):
    outbox.number(make_payload())
os.kill(os.getpid(), signal.SIGKILL)
"""


class Place:
    """A state folder and a machine's memory."""

    def __init__(self, folder: Path):
        self.path = folder / "state" / "x.db"
        self.memory = folder / "memory"
        self.memory.mkdir()
        self._open: list[Outbox] = []

    def open(self) -> Outbox:
        self._open.append(Outbox(self.path, SpoolSettings(), memory_dir=self.memory))
        return self._open[-1]

    def run(self, stored: int) -> str:
        """Store some results in a run that stops in order; return the outbox's id."""
        outbox = self.open()
        outbox.append([make_payload() for _ in range(stored)])
        outbox.close()
        return outbox.outbox_id

    def crash(self, stored: int, in_memory: int) -> None:
        """Store some results and number others in a process that is killed."""
        arguments = [str(self.path), str(self.memory), str(stored), str(in_memory)]
        died = subprocess.run([sys.executable, "-c", STORES_AND_DIES, *arguments], check=False)
        assert died.returncode == -signal.SIGKILL

    def cut_power(self) -> None:
        """Forget what a machine forgets."""
        for file in self.memory.iterdir():
            file.unlink()

    def remove(self) -> None:
        """Remove the outbox, with the logs of SQLite."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        for outbox in self._open:
            outbox.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def next_seq(outbox: Outbox) -> int:
    return int(outbox.append([make_payload()])[0]["seq"])


def test_a_stop_in_order_leaves_no_gap(place: Place) -> None:
    identity = place.run(5)
    outbox = place.open()
    assert (str(outbox.continuity), outbox.lost, outbox.outbox_id) == ("", 0, identity)
    assert next_seq(outbox) == 6
    outbox.close()
    assert list(place.memory.iterdir()) == []


def test_results_that_die_with_the_process_leave_exactly_their_numbers(place: Place) -> None:
    place.crash(10, 32)
    outbox = place.open()
    assert str(outbox.continuity) == "numbers 11..42 were not stored: 32 results lost"
    assert (outbox.lost, outbox.unaccounted, next_seq(outbox)) == (32, 32, 43)
    assert sum(outbox.counts.values()) + outbox.unaccounted == outbox.last_seq
    outbox.close()
    again = place.open()
    assert (str(again.continuity), again.lost) == ("", 32), "told once, counted for good"


def test_a_killed_process_that_had_stored_everything_leaves_no_gap(place: Place) -> None:
    place.crash(10, 0)
    outbox = place.open()
    assert (str(outbox.continuity), outbox.lost, next_seq(outbox)) == ("", 0, 11)


def test_after_a_power_cut_the_reserved_block_is_left_out(place: Place) -> None:
    place.crash(10, 32)
    place.cut_power()
    outbox = place.open()
    reserved = 0 + BLOCK
    assert next_seq(outbox) == reserved + 1
    told = f"numbers 11..{reserved} were not stored: at most {reserved - 10} results lost"
    assert str(outbox.continuity) == told


def test_numbers_are_reserved_before_they_are_used_up(place: Place) -> None:
    outbox = place.open()
    for _ in range(5):
        outbox.append([make_payload() for _ in range(400)])
        record = NumberFile(number_path(place.path)).read()
        assert record is not None
        assert record.reserved >= outbox.last_seq + BLOCK // 2


def test_a_stop_with_a_full_disk_leaves_a_gap_of_what_was_given_up(place: Place) -> None:
    place.run(32)
    outbox = place.open()
    (pages,) = outbox._tables._db.execute("PRAGMA page_count").fetchone()
    outbox._tables._db.execute(f"PRAGMA max_page_count = {pages}")
    numbered = [outbox.number(make_payload("x" * 10_000)) for _ in range(32)]
    with pytest.raises(PublishError, match="disk is full") as refused:
        outbox.append(numbered)
    outbox.hold(numbered, str(refused.value))
    outbox.remove([33, 34, 60])  # these were delivered from memory
    assert outbox.unstored == 29
    outbox.close()
    again = place.open()
    assert str(again.continuity) == "numbers 33..64 were not stored: 29 results lost"
    assert (again.lost, next_seq(again)) == (29, 65)


def test_a_crash_with_a_full_disk_does_not_count_what_went_out_from_memory(place: Place) -> None:
    outbox = place.open()
    outbox.append([make_payload()])
    outbox._tables._db.execute("PRAGMA max_page_count = 1")
    numbered = [outbox.number(make_payload("x" * 10_000)) for _ in range(9)]
    outbox.hold(numbered, "the disk is full")
    outbox.remove([2, 3, 4])
    outbox.hold(numbered[3:], "the disk is full")
    copy = place.path.parent.with_name("copy")
    shutil.copytree(place.path.parent, copy)
    crashed = Outbox(copy / "x.db", SpoolSettings(), memory_dir=place.memory)
    assert str(crashed.continuity) == "numbers 2..10 were not stored: 6 results lost"
    crashed.close()


def lose(place: Place) -> None:
    place.remove()


def empty(place: Place) -> None:
    place.remove()
    place.path.touch()


def spoil(place: Place) -> None:
    place.path.write_bytes(b"\xff" * 50_000)


def lose_numbers(place: Place) -> None:
    number_path(place.path).unlink()


def spoil_numbers(place: Place) -> None:
    number_path(place.path).write_bytes(b"\xff" * 2 * SLOT_BYTES)


def empty_numbers(place: Place) -> None:
    number_path(place.path).write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "is_same"),
    [
        (lose, True),
        (empty, True),
        (spoil, True),
        (lose_numbers, False),
        (spoil_numbers, False),
        (empty_numbers, False),
    ],
)
def test_one_place_that_is_lost_uses_no_number_twice_and_is_told(
    place: Place, damage: Callable[[Place], None], is_same: bool
) -> None:
    identity = place.run(9)
    damage(place)
    outbox = place.open()
    assert outbox.continuity.broken
    assert "numbering goes on at 10" in outbox.continuity.broken
    assert (outbox.outbox_id == identity) == is_same
    assert next_seq(outbox) == 10
    outbox.close()
    assert str(place.open().continuity) == "", "told once"


def test_both_places_lost_make_another_outbox_so_that_keys_differ(place: Place) -> None:
    identity = place.run(9)
    place.remove()
    number_path(place.path).unlink()
    outbox = place.open()
    assert outbox.outbox_id != identity
    assert outbox.append([make_payload()])[0]["outbox_id"] == outbox.outbox_id


def test_an_older_copy_of_the_outbox_uses_no_number_twice(place: Place) -> None:
    place.run(5)
    older = place.path.read_bytes()
    place.run(4)
    place.path.write_bytes(older)
    outbox = place.open()
    assert "older copy" in outbox.continuity.broken
    assert next_seq(outbox) == 10


def test_an_older_copy_of_the_number_file_uses_no_number_twice(place: Place) -> None:
    place.run(5)
    older = number_path(place.path).read_bytes()
    place.run(4)
    number_path(place.path).write_bytes(older)
    outbox = place.open()
    assert "the number file is an older copy" in outbox.continuity.broken
    assert next_seq(outbox) == 10


def test_an_older_copy_of_both_is_found_out_while_the_machine_runs(place: Place) -> None:
    place.run(5)
    copy = place.path.parent.with_name("copy")
    shutil.copytree(place.path.parent, copy)
    place.crash(4, 2)
    shutil.rmtree(place.path.parent)
    copy.rename(place.path.parent)
    outbox = place.open()
    assert outbox.continuity.broken
    assert next_seq(outbox) == 12


@pytest.mark.parametrize("has_power", [True, False])
@pytest.mark.parametrize("log", [None, b""])
def test_a_lost_write_ahead_log_uses_no_number_twice(
    place: Place, has_power: bool, log: bytes | None
) -> None:
    place.run(5)
    place.crash(9, 0)
    place.path.with_name("x.db-shm").unlink()
    log_path(place.path).unlink()
    if log is not None:
        log_path(place.path).write_bytes(log)
    if not has_power:
        place.cut_power()
    outbox = place.open()
    assert "write-ahead log" in outbox.continuity.broken
    assert next_seq(outbox) == (15 if has_power else 5 + BLOCK + 1)


def test_the_outbox_of_another_station_gets_an_id_of_its_own(place: Place, tmp_path: Path) -> None:
    identity = place.run(9)
    other = Outbox(tmp_path / "other.db", SpoolSettings(), memory_dir=place.memory)
    other.append([make_payload() for _ in range(3)])
    other.close()
    shutil.copy(tmp_path / "other.db", place.path)
    outbox = place.open()
    assert "not the one that the number file knows" in outbox.continuity.broken
    assert next_seq(outbox) == 10
    assert outbox.outbox_id not in (identity, other.outbox_id)


def test_a_torn_write_of_the_number_file_leaves_the_record_before(tmp_path: Path) -> None:
    file = NumberFile(tmp_path / "numbers")
    record = NumberRecord("a" * 32, 1000, 0, 0, 0, 0, 0, is_open=True)
    for given in range(1, 6):
        file.write(replace(record, given=given))
    newest = file.read()
    assert newest is not None
    data = bytearray((tmp_path / "numbers").read_bytes())
    slot = newest.revision % 2 * SLOT_BYTES
    data[slot + 20 : slot + 40] = b"\0" * 20
    (tmp_path / "numbers").write_bytes(data)
    before = NumberFile(tmp_path / "numbers").read()
    assert before is not None
    assert (newest.given, before.given) == (5, 4)
    file.close()


@pytest.mark.parametrize("marked", [None, Marked(40, 20), Marked(90, 90)])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("outbox_id", ["a", "b", None])
@pytest.mark.parametrize("last_seq", [0, 10, 20, 35, 70])
def test_numbering_always_goes_on_above_everything_known(
    marked: Marked | None, is_open: bool, outbox_id: str | None, last_seq: int
) -> None:
    given, reserved = 30, 60
    record = NumberRecord("a", reserved if is_open else given, given, 20, 20, 5, 10, is_open)
    found = Found(outbox_id, last_seq, is_new=last_seq == 0 and outbox_id is None, has_log=True)
    going_on = judge(found, record, marked, "new")
    assert going_on.given >= max(last_seq, given, marked.given if marked else 0)
    if is_open and marked is None:
        assert going_on.given >= reserved
    assert going_on.missing is None or going_on.missing[0] == last_seq + 1
    if outbox_id == "b":
        assert going_on.outbox_id == "new"
