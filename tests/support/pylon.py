"""Basler's emulated cameras, 0815-0000 and 0815-0001; import this before anything opens pylon."""

from __future__ import annotations

import importlib.util
import os

import pytest

SERIAL, OTHER = "0815-0000", "0815-0001"
if importlib.util.find_spec("pypylon") is None:
    pytest.skip("pypylon is not installed (extra pylon)", allow_module_level=True)
os.environ["PYLON_CAMEMU"] = "2"
