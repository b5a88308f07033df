"""Find the target profiles of the package; imports nothing heavy, for the command's help."""

from __future__ import annotations

from pathlib import Path


def profile_folder() -> Path:
    """Return the folder of the profiles that come with the package.

    An installed wheel carries them beside this file. A checkout, also one that is installed as
    editable, keeps them in build/targets.
    """
    inside = Path(__file__).with_name("targets")
    return inside if inside.is_dir() else Path(__file__).parents[3] / "build" / "targets"


def target_names(folder: Path | None = None) -> list[str]:
    """Return the names of all profiles of a folder, by default the package's, in order."""
    return sorted(path.stem for path in (folder or profile_folder()).glob("*.yaml"))
