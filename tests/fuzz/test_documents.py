"""Documents of the right form with wrong values in them: one value of a sound one is replaced."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config.station import StationConfig, read_station
from edge.errors import ConfigError
from edge.messages.command import Command, command_payload, read_command
from edge.messages.message import Message
from edge.messages.sequence_monitor import StationView
from tests.support.bundles import ROOT
from tests.support.mqtt_results import make_payload

# `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("EDGE_FUZZ_EXAMPLES", "150"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 1000,
    database=None,
    suppress_health_check=list(HealthCheck),
)
texts = st.text(max_size=40) | st.sampled_from(["", "~nobody/x", "a\0b", "\u202e", "1 GiB", "nan"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
yaml_values = values | st.dates() | st.datetimes() | st.binary(max_size=20)


def _places(document: Any, path: tuple = ()) -> list[tuple]:
    places = [path] if path else []
    items = (
        document.items() if isinstance(document, dict)
        else enumerate(document) if isinstance(document, list) else ()
    )  # fmt: skip
    for key, value in items:
        places += _places(value, (*path, key))
    return places


def _with(document: Any, path: tuple, value: Any) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


FULL_STATION = yaml.safe_load((ROOT / "configs" / "example.yaml").read_text())


def _refusal(kind: type[Exception], read: Callable[[], object], made: type) -> str | None:
    try:
        assert isinstance(read(), made)
    except kind as error:
        return str(error)
    return None


EXPECT = {"config_revision": "x"}
COMMAND = command_payload("c1", "ann", {"recipe": "b"}, lifetime_s=30, expect=EXPECT)


@many
@given(place=st.sampled_from(_places(FULL_STATION)), value=yaml_values)
def test_a_station_file_with_one_value_replaced(tmp_path_factory, place, value) -> None:
    path = Path(tmp_path_factory.mktemp("station")) / "station.yaml"
    path.write_text(yaml.safe_dump(_with(FULL_STATION, place, value), allow_unicode=True))
    refusal = _refusal(ConfigError, lambda: read_station(path), StationConfig)
    assert refusal is None or path.name in refusal


@many
@given(place=st.sampled_from(_places(COMMAND)), value=values)
def test_a_command_with_one_value_replaced(place, value) -> None:
    data = json.dumps(_with(COMMAND, place, value)).encode()
    refusal = _refusal(ValueError, lambda: read_command(data), Command)
    assert refusal is None or (refusal and "\n" not in refusal)


@many
@given(place=st.sampled_from(_places(make_payload())), value=values)
def test_a_result_with_one_value_replaced(place, value) -> None:
    view = StationView("n", "s")
    data = json.dumps(_with(make_payload(), place, value)).encode()
    taken = view.take("result", data, is_stored=False)
    # A result is either counted or counted as invalid, never neither.
    assert (taken is None) == (view.invalid + view.seqs.duplicates == 1)
    assert Message("p/n/s/result", data, is_stored=False).payload == data
