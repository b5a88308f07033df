"""The simulated GenTL producer of the package genicam: three cameras, RGBa8, 400x400."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("harvesters") is None or importlib.util.find_spec("genicam") is None:
    pytest.skip("harvesters is not installed (extra genicam)", allow_module_level=True)
CTI = Path(str(importlib.util.find_spec("genicam").origin)).with_name("viky.cti")
if not CTI.is_file():
    pytest.skip("the package genicam has no producer for this machine", allow_module_level=True)
