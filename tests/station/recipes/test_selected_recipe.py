"""The recipe chosen by command survives a restart, and yields to an edited station file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import PublishError
from edge.station.recipes.selected_recipe import SelectedRecipe, selected_recipe_path

NAMES = ("housing", "cover")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return selected_recipe_path(tmp_path, "n", "s")


def test_without_a_choice_the_file_decides_and_nothing_is_written(path: Path, caplog) -> None:
    assert SelectedRecipe(path, "housing", NAMES).read() == "housing"
    assert not path.exists()
    assert caplog.text == ""


def test_a_choice_is_there_again_and_logged(path: Path, caplog) -> None:
    SelectedRecipe(path, "housing", NAMES).save("cover", "mes")
    assert SelectedRecipe(path, "housing", NAMES).read() == "cover"
    assert "recipe restored recipe=cover by='mes'" in caplog.text
    assert str(path) in caplog.text


@pytest.mark.parametrize(("first", "names"), [("cover", NAMES), ("housing", ("housing",))])
def test_an_edited_station_file_wins_and_says_so(path: Path, caplog, first, names) -> None:
    SelectedRecipe(path, "housing", NAMES).save("cover", "mes")
    assert SelectedRecipe(path, first, names).read() == first
    assert "recipe choice void" in caplog.text


def test_an_undone_choice_leaves_what_was_before(path: Path) -> None:
    choice = SelectedRecipe(path, "housing", NAMES)
    choice.restore(choice.save("cover", "mes"))
    assert not path.exists()
    choice.save("cover", "mes")
    choice.restore(choice.save("housing", "mes"))
    assert choice.read() == "cover"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 1}'])
def test_a_damaged_choice_is_no_reason_to_judge_with_another_recipe(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(PublishError, match="delete the file to start with recipe housing"):
        SelectedRecipe(path, "housing", NAMES).read()


def test_a_choice_that_cannot_be_kept_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    choice = SelectedRecipe(tmp_path / "absent" / "c.json", "housing", NAMES)
    with pytest.raises(PublishError, match="cannot be kept for a restart"):
        choice.save("cover", "mes")


def test_the_file_names_what_a_person_wants_to_know(path: Path) -> None:
    SelectedRecipe(path, "housing", NAMES).save("cover", "mes")
    kept = json.loads(path.read_text())
    assert kept.items() >= {"recipe": "cover", "by": "mes", "file_recipe": "housing"}.items()
