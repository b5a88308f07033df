"""Bundles that are installed on a device: the newest two, and the link `current` to one of them.

FOLDER/<first twelve digits of the id>/ is a bundle. FOLDER/current is a link to the one that runs:
stations name FOLDER/current as their bundle. FOLDER/previous is a link to the one before.
FOLDER/installed.jsonl has a line for each switch: who, when, from which bundle to which.

A bundle is copied under another name, verified and tried there, and only then gets its own. The
switch is one rename of a link, so that whatever ends a command leaves a whole bundle in `current`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge.atomic_file import write_bytes
from edge.bundle.install_folder import (
    at_work,
    copy_file,
    link,
    no_folder,
    part_of,
    places,
    sweep,
    sync,
    target,
)
from edge.bundle.manifest import MANIFEST, SIGNATURE
from edge.bundle.signature import Trust
from edge.bundle.store import Bundle, open_bundle
from edge.errors import BundleError, WriteError

CURRENT: Final = "current"
PREVIOUS: Final = "previous"
AUDIT: Final = "installed.jsonl"
KEY_DIGITS: Final = 12
# Judges a bundle on this device; raises an EdgeError where it does not decide as the trained model.
Prove = Callable[[Bundle], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed bundle; `bundle` is None where it is damaged, and `problem` says how."""

    key: str
    bundle: Bundle | None
    problem: str | None
    is_current: bool
    is_previous: bool


class InstalledBundles:
    """The bundles of one folder, each switched to as a whole.

    Args:
        folder: made by the first installation.
        trust: the keys that a bundle's signature is verified by, whenever it is switched to.
        prove: judges the golden pictures of a bundle before it is switched to.
        by: who switches, for the audit.
    """

    def __init__(self, folder: Path, trust: Trust, prove: Prove, by: str):
        self._folder, self._trust, self._prove, self._by = folder, trust, prove, by

    def install(self, source: Path, *, activate: bool = True) -> Bundle:
        """Copy a bundle into the folder and, unless told otherwise, switch to it.

        Raises:
            BundleError: it is damaged, not signed as trusted, of another product than the current
                one, or another command is at work in the folder.
            EngineError: it does not judge its golden pictures as the trained model does.
            WriteError: the folder cannot be written.
        """
        opened = open_bundle(source, self._trust)
        with at_work(self._folder, make=True):
            sweep(self._folder)
            place = self._folder / opened.id[:KEY_DIGITS]
            self._check_product(opened)
            bundle = self._copy(opened, place)
            if activate:
                self._switch(bundle, "install")
            else:
                self._record("stage", bundle, target(self._folder, CURRENT))
            self._forget_others(place)
        return bundle

    def activate(self, key: str) -> Bundle:
        """Switch to an installed bundle; `key` are the first digits of its id.

        Raises:
            BundleError, EngineError, WriteError: as `install`; no or several bundles begin with it.
        """
        with at_work(self._folder):
            known = places(self._folder)
            found = [place for place in known if place.name.startswith(key[:KEY_DIGITS])]
            if len(found) != 1:
                listed = ", ".join(place.name for place in known) or "none"
                raise BundleError(
                    f"{self._folder}: expected the id of one installed bundle ({listed}), got {key}"
                )
            return self._try_and_switch(found[0], "activate")

    def rollback(self) -> Bundle:
        """Switch back to the bundle before; once more, and the later one is current again.

        Raises:
            BundleError, EngineError, WriteError: as `install`; there is no bundle before.
        """
        with at_work(self._folder):
            before = target(self._folder, PREVIOUS)
            if before is None or before == target(self._folder, CURRENT):
                raise BundleError(
                    f"{self._folder}: expected a bundle before the current one, found none; see "
                    f"edge-bundle list {self._folder}"
                )
            return self._try_and_switch(self._folder / before, "rollback")

    def _copy(self, opened: Bundle, place: Path) -> Bundle:
        """Copy a bundle beside `place`, verify and try the copy, and give it its name."""
        signature = [SIGNATURE] if (opened.folder / SIGNATURE).exists() else []
        if _is_whole(place):
            for name in signature:  # the same bundle, which may have been signed since
                write_bytes(place / name, (opened.folder / name).read_bytes())
            same = open_bundle(place, self._trust)
            self._prove(same)
            return same
        part = part_of(place)
        try:
            for name in (*opened.manifest.files, MANIFEST, *signature):
                copy_file(opened.folder, name, part)
            copied = open_bundle(part, self._trust)
            if copied.id != opened.id:
                raise BundleError(f"bundle {opened.folder}: changed while it was copied; try again")
            self._prove(copied)
            for inner in filter(Path.is_dir, (part, *part.rglob("*"))):
                sync(inner)
            if place.exists():
                place.rename(part_of(place))
            part.rename(place)
            sync(self._folder)
        except OSError as error:
            raise WriteError(self._folder, error.strerror or str(error)) from error
        finally:
            sweep(self._folder)
        return replace(copied, folder=place.resolve())

    def _try_and_switch(self, place: Path, action: str) -> Bundle:
        bundle = open_bundle(place, self._trust)
        self._check_product(bundle)
        self._prove(bundle)
        self._switch(bundle, action)
        return bundle

    def _switch(self, bundle: Bundle, action: str) -> None:
        """Make a bundle that has been verified and tried the current one."""
        before, name = target(self._folder, CURRENT), bundle.folder.name
        if before == name:
            return
        # First the record: a change without one would be worse than one that was cut off.
        self._record(action, bundle, before)
        if before is not None:
            link(self._folder / PREVIOUS, before)
        link(self._folder / CURRENT, name)

    def _check_product(self, bundle: Bundle) -> None:
        """Refuse a bundle that would make a station judge other products than before."""
        if target(self._folder, CURRENT) is None:
            return
        try:
            current = open_bundle(self._folder / CURRENT)
        except BundleError:
            return  # what is damaged is not kept for what it says
        expected = {current.recipe.product, *current.thresholds.products}
        found = {bundle.recipe.product, *bundle.thresholds.products}
        if bundle.recipe.product != current.recipe.product or not expected <= found:
            raise BundleError(
                f"bundle {bundle.folder}: expected one for {', '.join(sorted(expected))} as the "
                f"current one of {self._folder}, found one for {', '.join(sorted(found))}; install "
                "it into a folder of its own"
            )

    def _record(self, action: str, bundle: Bundle, before: str | None) -> None:
        line = {
            "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "by": self._by,
            "action": action,
            "bundle": bundle.id,
            "name": bundle.manifest.name,
            "version": bundle.manifest.version,
            "signed_by": bundle.signed_by,
            "before": before,
        }
        path = self._folder / AUDIT
        try:
            with path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(path, error.strerror or str(error)) from error

    def _forget_others(self, newest: Path) -> None:
        """Remove all but the current bundle, the one before and the newest."""
        kept = {newest.name, target(self._folder, CURRENT), target(self._folder, PREVIOUS)}
        for place in places(self._folder):
            if place.name not in kept:
                # Under another name first: half a bundle must not look like one.
                place.rename(part_of(place))
        sweep(self._folder)


def list_installed(folder: Path, trust: Trust) -> list[Installed]:
    """Return the bundles of a folder, by id, each opened and verified.

    Raises:
        BundleError: there is no such folder.
    """
    if not folder.is_dir():
        raise no_folder(folder)
    found = []
    current, previous = target(folder, CURRENT), target(folder, PREVIOUS)
    for place in places(folder):
        bundle, problem = None, None
        try:
            bundle = open_bundle(place, trust)
        except BundleError as error:
            problem = str(error)
        is_current, is_previous = place.name == current, place.name == previous
        found.append(Installed(place.name, bundle, problem, is_current, is_previous))
    return found


def _is_whole(place: Path) -> bool:
    try:
        open_bundle(place)
    except BundleError:
        return False
    return True
