"""All methods by name. A method's module is imported when the method is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.methods.method import Method

# Every module holds its method as METHOD.
MODULES = {
    "inp-former": "edge.methods.inp_former.method",
    "multiads": "edge.methods.multiads.method",
    "mavis": "edge.methods.mavis.method",
    "dapo": "edge.methods.dapo.method",
    "promptmad": "edge.methods.promptmad.method",
    "types": "edge.methods.types.method",
    "update": "edge.methods.update.method",
}


def find_method(name: str) -> Method:
    """The method called `name` on the command line or in run.yaml.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODULES:
        raise ConfigError(f"--method: expected one of {', '.join(MODULES)}, got {name}")
    return cast("Method", import_module(MODULES[name]).METHOD)
