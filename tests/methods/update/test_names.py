"""Reviews that name types teach names, too: as the types method does, and where they suffice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import pytest

from edge.cameras.simulator.image_set import write_conveyor_set
from edge.cli.update_report import as_lines
from edge.dashboard.reviews import Review, Reviews
from edge.methods.run import read_model, read_record
from edge.methods.types.fit import Request as TypesRequest
from edge.methods.types.fit import fit_types
from edge.methods.update import names, teacher
from edge.methods.update.fit import Request, fit_update

SIZE_WH = (160, 128)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plates that nobody has seen: five of each type."""
    folder = tmp_path_factory.mktemp("named") / "plates"
    write_conveyor_set(folder, train_good=6, test_good=2, per_type=5, size_wh=SIZE_WH, seed=11)
    return folder


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "PICTURES", 12)
    monkeypatch.setattr(names, "GOOD_PARTS", 10)


def write_reviews(folder: Path, fresh: Path, said: Mapping[str, tuple[int, str]]) -> Path:
    """Write for each type so many reviews that call it by a name."""
    number = 0
    for kind, (count, name) in said.items():
        for picture in sorted((fresh / "test" / kind).iterdir())[:count]:
            number += 1
            result = {
                "node": "n", "station": "s", "outbox_id": "o", "seq": number, "result": "fail",
                "product_id": "plates", "part": {"id": f"new-{number}"},
                "recipe": {"id": "plates", "version": "1"},
                "views": [{"name": "top", "width": SIZE_WH[0], "height": SIZE_WH[1]}],
            }  # fmt: skip
            place = Reviews(folder).add(result, Review("eve", "wrong_type", type=name))
            cv2.imwrite(str(place / "frame-top.png"), cv2.imread(str(picture)))
    return folder


def kinds(fresh: Path) -> list[str]:
    return sorted(path.name for path in (fresh / "test").iterdir() if path.name != "good")


def test_types_with_enough_reviews_are_learned_and_others_are_named(
    run: Path, plates: Path, fresh: Path, tmp_path: Path
) -> None:
    first, second, third, *_ = kinds(fresh)
    said = {first: (5, first), second: (5, second), third: (names.LEAST_PARTS - 1, third)}
    reviews = write_reviews(tmp_path / "dashboard", fresh, said)
    out = tmp_path / "out"
    record = fit_update(Request(run, reviews, (plates,), accept_worse=True), out, no_bar)
    assert record.model.types == (first, second)
    assert read_model(out, read_record(out)).types is not None
    assert record.types is not None
    assert record.types.vocabulary == (first, second)
    assert len(record.types.own_defects) == 10
    document = json.loads((out / "update.json").read_text())
    found = document["names"]
    assert found["types"] == [first, second]
    assert [each["without_masks"] for each in found["labels"]] == [5, 5]
    assert found["left_out"] == {third: f"2 parts, {names.LEAST_PARTS} are needed"}
    assert found["pictures"] == 8
    assert found["right_before"] is None
    assert found["right_after"] >= 6
    text = "\n".join(as_lines(document))
    assert f"names {first}, {second}" in text
    assert f"{third}: not learned: 2 parts" in text


def test_reviews_without_a_name_leave_names_alone(
    run: Path, plates: Path, fresh: Path, tmp_path: Path
) -> None:
    reviews = write_reviews(tmp_path / "dashboard", fresh, {kinds(fresh)[0]: (4, "")})
    out = tmp_path / "out"
    record = fit_update(Request(run, reviews, (plates,), accept_worse=True), out, no_bar)
    assert (record.model.types, record.types) == ((), None)
    assert json.loads((out / "update.json").read_text())["names"] is None


@pytest.fixture(scope="session")
def named(run: Path, plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, which has learned names from two pictures of each type."""
    out = tmp_path_factory.mktemp("named") / "run"
    fit_types(TypesRequest(run, (plates,), labelled=2, names_only=True), out, no_bar)
    return out


def test_a_run_with_names_keeps_them_and_learns_another(
    named: Path, plates: Path, fresh: Path, tmp_path: Path
) -> None:
    """What taught the names before teaches again, and is no part of the frozen test."""
    before = read_record(named)
    assert before.types is not None
    first = kinds(fresh)[0]
    reviews = write_reviews(tmp_path / "dashboard", fresh, {first: (5, "weld spatter")})
    out = tmp_path / "out"
    record = fit_update(Request(named, reviews, (plates,), accept_worse=True), out, no_bar)
    assert record.types is not None
    assert set(record.types.vocabulary) == {*before.types.vocabulary, "weld spatter"}
    assert set(before.types.own_defects) < set(record.types.own_defects)
    document = json.loads((out / "update.json").read_text())
    assert document["proof"]["defective"] == 20 - len(before.types.own_defects)
    assert document["names"]["right_before"] is not None
    frozen = (out / "frozen_test.csv").read_text()
    assert not any(f"\n{name}," in frozen for name in before.types.own_defects)


@pytest.mark.slow
def test_names_that_the_frozen_test_finds_worse_stay_as_they_were(
    named: Path, plates: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People call each type by the name of another one; as many right as before are too few."""
    monkeypatch.setattr("edge.methods.update.names.TOLERANCE", -0.1)
    types = kinds(fresh)
    said = {kind: (5, types[number - 1]) for number, kind in enumerate(types)}
    reviews = write_reviews(tmp_path / "dashboard", fresh, said)
    out = tmp_path / "out"
    record = fit_update(Request(named, reviews, (plates,), accept_worse=True), out, no_bar)
    before = read_record(named)
    assert record.types == before.types
    document = json.loads((out / "update.json").read_text())
    found = document["names"]
    assert not found["is_kept"]
    assert found["right_after"] <= found["right_before"]
    assert "names: tried and not kept" in "\n".join(as_lines(document))


def test_names_of_data_that_is_not_given_stay(
    named: Path, plates: Path, fresh: Path, tmp_path: Path
) -> None:
    record = read_record(named)
    assert record.types is not None
    lost = replace_types(record, (*record.types.own_defects, "dent/elsewhere.png"))
    kept, why = names.earlier_labels(lost, ())
    assert kept == ()
    assert "--data" in why


def replace_types(record, own_defects):  # type: ignore[no-untyped-def]
    return record.model_copy(
        update={"types": record.types.model_copy(update={"own_defects": own_defects})}
    )
