"""The planned stages of each method are those that its code goes through."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from edge.cli.train_options import InpFormerOptions
from edge.cli.train_requests import request
from edge.methods.stages import FAST_FORM, FIXED, planned_stages
from edge.methods.types.fit import Request as TypesRequest

EDGE = Path(__file__).resolve().parents[2] / "edge"
# mavis and dapo train on what multiads prepares.
ROOMS = {
    "multiads": ("multiads",),
    "mavis": ("mavis", "multiads"),
    "dapo": ("dapo", "multiads"),
    "promptmad": ("promptmad",),
}


def opened(folder: Path) -> set[str]:
    """Names of the stages that the files of a folder open."""
    calls = (
        node
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    )
    return {
        str(call.args[0].value)
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) == "progress"
    }


def planned(**given: Any) -> tuple[str, ...]:
    options = InpFormerOptions(data=(Path("d"),), **given)
    return planned_stages("inp-former", request("inp-former", options))


@pytest.mark.parametrize("method", FIXED)
def test_a_plan_names_the_stages_of_the_code(method: str) -> None:
    rooms = (EDGE / "methods" / room for room in ROOMS[method])
    assert set(FIXED[method]) == set().union(*map(opened, rooms))


def test_the_plans_of_inp_former_name_its_stages() -> None:
    every = (
        *planned(),
        *planned(instant=True),
        *planned(refine=True),
        *planned(plus=("head",)),
    )
    assert set(every) == opened(EDGE / "methods" / "inp_former")


def test_the_plans_of_types_and_of_the_fast_form_name_their_stages() -> None:
    wanted = TypesRequest(Path("r"), (Path("d"),), false_rejects=Path("f"))
    assert set(planned_stages("types", wanted)) == opened(EDGE / "methods" / "types")
    assert set(FAST_FORM) == opened(EDGE / "toolchain" / "fast_form")


def test_the_plan_of_an_update_names_its_stages() -> None:
    """It teaches names as `--method types` does."""
    wanted = planned_stages("update", None)
    assert set(wanted) == opened(EDGE / "methods" / "update") | {"regions", "types"}


def test_what_is_not_asked_for_is_not_counted() -> None:
    assert planned(size="256x256") == (
        "features", "training", "folds", "probe", "shares", "branches", "calibration",
    )  # fmt: skip
    assert planned(size="256x256", folds=0, branches=False) == (
        "features", "training", "branches", "calibration",
    )  # fmt: skip
    wanted = TypesRequest(Path("r"), (Path("d"),), names_only=True)
    assert planned_stages("types", wanted) == ("regions", "types")
