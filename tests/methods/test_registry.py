"""All methods behind one seam."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from edge.cli.train_options import OPTIONS
from edge.cli.train_requests import REQUESTS
from edge.errors import ConfigError, TrainingError
from edge.methods.method import Network
from edge.methods.registry import MODULES, find_method
from edge.methods.run_record import RunRecord
from edge.methods.settings import MethodSettings


def test_the_command_line_has_the_methods_of_the_registry() -> None:
    assert list(MODULES) == list(OPTIONS) == list(REQUESTS)


@pytest.mark.parametrize("name", MODULES)
def test_a_run_record_takes_every_methods_settings(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    (union, _) = get_args(MethodSettings)
    assert method.settings in get_args(union)
    assert method.training in get_args(RunRecord.model_fields["training"].annotation)


def test_the_settings_in_a_run_lead_to_the_method_that_builds_them() -> None:
    (union, _) = get_args(MethodSettings)
    for settings in get_args(union):
        name = settings.model_fields["method"].default
        assert find_method(name).settings is settings


def test_a_method_builds_its_network_from_settings() -> None:
    from edge.methods.presets import find_preset, model_settings

    settings = model_settings(find_preset("lite"), (96, 64), "random")
    network = find_method("inp-former").build(settings)
    assert isinstance(network, Network)
    assert network.settings == settings


def test_methods_that_name_no_types_refuse_more_of_them() -> None:
    class Record:
        class data:  # noqa: N801 - stands in for a record
            name = "plates"

    with pytest.raises(TrainingError, match="run of plates: promptmad takes no new types"):
        find_method("promptmad").add_types(None, Record, ["crack"], None)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--method: expected one of inp-former, .*, got other"):
        find_method("other")


def test_options_and_registry_load_no_torch() -> None:
    code = (
        "import sys, edge.cli.train, edge.methods.registry\n"
        "print([name for name in ('torch', 'transformers', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="."
    )
    assert done.stdout.strip() == "[]"
