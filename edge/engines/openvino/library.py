"""The package openvino: where it is imported, and its errors in one line."""

from __future__ import annotations

from typing import Any

from edge.errors import EngineLoadError

# Beginnings of lines that only name the place of an exception inside OpenVINO.
_PLACES = ("Exception from", "Check '", "FrontEnd API failed")


def load_library() -> Any:
    """Import openvino.

    Raises:
        EngineLoadError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise EngineLoadError(
            f"OpenVINO: not installed ({error}); pip install 'edge-inspection[openvino]'"
        ) from error
    return openvino


def openvino_version() -> str:
    """Release of the installed OpenVINO, such as `2026.4.1`.

    Raises:
        EngineLoadError: it is not installed.
    """
    return str(load_library().__version__).partition("-")[0]


def reason(error: RuntimeError) -> str:
    """Return the message of an OpenVINO error in one line, without the places in its sources."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_PLACES)]
    return " ".join(said)[:300] or "it does not say why"
