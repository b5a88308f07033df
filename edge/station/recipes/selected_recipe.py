"""The recipe that a command has selected, kept on disk so that a restart continues with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from edge.atomic_file import write_bytes
from edge.errors import PublishError, WriteError
from edge.messages.identity import now

log = logging.getLogger(__name__)


class SelectedRecipe:
    """A small JSON file with the selected recipe, who selected it, and what the station file said.

    Args:
        path: the file; it does not exist while no command has selected a recipe.
        first: the recipe that the station file starts with.
        names: the recipes of the station.
    """

    def __init__(self, path: Path, first: str, names: Container[str]):
        self._path = path
        self._first = first
        self._names = names

    def read(self) -> str:
        """Return the recipe to start with, and log when it is not the station file's.

        A selection is void once the station file starts with another recipe than at the time of
        the selection: the file was edited since, and its author's wish is the newer one.

        Raises:
            PublishError: the file is there and cannot be read.
        """
        try:
            chosen = json.loads(self._path.read_text(encoding="utf-8"))
            name, file_recipe, by = chosen["recipe"], chosen["file_recipe"], chosen["by"]
        except (FileNotFoundError, NotADirectoryError):  # the outbox says what is wrong there
            return self._first
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise PublishError(
                f"{self._path}: expected the recipe chosen by command, got {error}; delete the "
                f"file to start with recipe {self._first}"
            ) from error
        if file_recipe != self._first or name not in self._names:
            log.warning(
                "recipe choice void recipe=%s file_recipe=%s: the station file has changed since "
                "recipe=%s was chosen", self._first, self._first, name,
            )  # fmt: skip
            return self._first
        if name != self._first:
            log.warning(
                "recipe restored recipe=%s by=%r since=%s file_recipe=%s; delete %s to undo",
                name, by, chosen.get("since"), self._first, self._path,
            )  # fmt: skip
        return str(name)

    def save(self, name: str, by: str) -> bytes | None:
        """Keep a selection; return what `restore` needs to undo it.

        Raises:
            PublishError: it cannot be written.
        """
        selection = {"recipe": name, "file_recipe": self._first, "by": by, "since": now()}
        before = None
        with suppress(OSError):
            before = self._path.read_bytes()
        self._write(json.dumps(selection).encode())
        return before

    def restore(self, before: bytes | None) -> None:
        """Bring back what `save` replaced.

        Raises:
            PublishError: it cannot be written.
        """
        if before is None:
            self._path.unlink(missing_ok=True)
        else:
            self._write(before)

    def _write(self, data: bytes) -> None:
        try:
            write_bytes(self._path, data, is_private=True)
        except WriteError as error:
            raise PublishError(
                f"{self._path}: the recipe cannot be kept for a restart: {error.reason}; free "
                f"the disk or change the folder's owner"
            ) from error


def selected_recipe_path(folder: Path, node: str, station: str) -> Path:
    """Return the path of a station's selected recipe below the state folder."""
    return folder / f"{node}.{station}.recipe.json"
