"""Which option of edge-train belongs to which method."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.cli.train import app
from edge.cli.train_options import (
    OPTIONS,
    DapoOptions,
    InpFormerOptions,
    flag,
    methods_with,
    pair,
    panel,
    read_options,
)
from edge.cli.train_requests import request
from edge.errors import ConfigError

GENERAL = {"out", "method", "fresh", "help"}
DATA = (Path("d"),)


def command() -> typer.core.TyperGroup:
    return typer.main.get_command(app)


def test_every_field_is_an_option_and_every_option_a_field() -> None:
    known = {parameter.name for parameter in command().params} - GENERAL
    assert known == {field.name for options in OPTIONS.values() for field in fields(options)}


def test_help_lists_each_option_under_its_methods() -> None:
    for parameter in command().params:
        if parameter.name not in GENERAL:
            assert parameter.rich_help_panel == panel(parameter.name), parameter.name
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "160"}).output
    for title in ("Options of mavis", "Options of multiads, mavis, dapo", "Options of types"):
        assert title in shown


def test_methods_of_options() -> None:
    assert methods_with("tiles") == ("inp-former",)
    assert methods_with("epochs") == ("multiads", "mavis", "dapo")
    assert methods_with("labelled") == ("multiads", "mavis", "dapo", "types")
    assert panel("data") is None, "all methods have it"
    assert flag("few_shot") == "--few-shot"


def test_options_become_those_of_the_method() -> None:
    found = read_options("inp-former", {"data": [Path("d")], "tiles": None, "plus": ["head"]})
    assert found == InpFormerOptions(data=DATA, plus=("head",))
    assert found.size_wh is None
    sized = read_options("dapo", {"data": DATA, "size": "320x256", "without": []})
    assert sized == DapoOptions(data=DATA, size="320x256")
    assert sized.size_wh == (320, 256)


@pytest.mark.parametrize(
    ("method", "given", "problem"),
    [
        ("other", {}, "--method: expected one of inp-former, multiads, mavis, dapo, promptmad, "),
        ("types", {"preset": "lite"}, "--preset: expected with --method inp-former or multiads or"),
        ("dapo", {"branches": False}, "--branches: expected with --method inp-former only, got da"),
        ("types", {"few_shot": 0}, "--few-shot: expected with --method multiads or mavis or dapo"),
        ("mavis", {"n_pair": ["x"]}, "--n-pair: expected one of image, patch, got x"),
    ],
)
def test_what_does_not_belong_to_the_method_is_refused(
    method: str, given: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_options(method, {"data": DATA, **given})


@pytest.mark.parametrize("text", ["320", "0x5", "ax5", "5x", "320x256x1"])
def test_a_size_is_two_numbers(text: str) -> None:
    assert pair("320X256", "--size") == (320, 256)
    with pytest.raises(ConfigError, match=f"--size: expected two numbers .* got {text}"):
        pair(text, "--size")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"shots": 2}, "--shots"),
        ({"steps": 5}, "--steps"),
        ({"plus": ("head",)}, "--plus"),
        ({"branches": False}, "--no-branches"),
    ],
)
def test_options_of_training_do_not_go_with_instant(given: dict[str, object], named: str) -> None:
    options = read_options("inp-former", {"data": DATA, "instant": True, **given})
    with pytest.raises(ConfigError, match=f"--instant: trains nothing, so {named} does not go"):
        request("inp-former", options)


def test_instant_reaches_the_request() -> None:
    options = read_options("inp-former", {"data": DATA, "instant": True})
    assert request("inp-former", options).instant
