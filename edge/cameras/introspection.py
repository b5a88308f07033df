"""Libraries that come with the system and are reached by GObject introspection."""

from __future__ import annotations

from typing import Any

from edge.errors import CameraUnavailable


def system_library(namespace: str, version: str, packages: str) -> Any:
    """Return the module of a library, such as Aravis 0.8.

    Args:
        namespace: its name for introspection.
        version: of its interface.
        packages: what to install on Debian and Ubuntu, for the message.

    Raises:
        CameraUnavailable: PyGObject or the library is missing; says what to install.
    """
    try:
        import gi
    except ImportError:
        raise CameraUnavailable(
            f"{namespace}: expected PyGObject (gi) for this Python, found none; install the system "
            f"package python3-gi and make the environment with --system-site-packages"
        ) from None
    try:
        gi.require_version(namespace, version)
        # The name is known at run time only; this is what `from gi.repository import` does.
        return getattr(__import__("gi.repository", fromlist=[namespace]), namespace)
    except (ValueError, ImportError, AttributeError):
        raise CameraUnavailable(
            f"{namespace}: expected the library {namespace} {version}, found none; install the "
            f"system packages {packages}"
        ) from None
