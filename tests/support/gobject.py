"""GObject introspection for tests: Debian's PyGObject is not on a virtual environment's path."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

SYSTEM_PACKAGES = "/usr/lib/python3/dist-packages"


def gobject_or_skip(namespace: str, version: str) -> None:
    """Make `gi` importable, from the system if need be; skip the tests where it is missing."""
    if importlib.util.find_spec("gi") is None and SYSTEM_PACKAGES not in sys.path:
        sys.path.append(SYSTEM_PACKAGES)
        importlib.invalidate_caches()
    try:
        import gi

        gi.require_version(namespace, version)
    except (ImportError, ValueError) as error:
        pytest.skip(f"{namespace} {version} is not installed: {error}", allow_module_level=True)
