"""The knowledge base of defect types: one table (knowledge.yaml), and everything derived from it.

A type's place in the table orders every type list, so the rows of a text bank, the ids in a mask
and the channels of an output can never disagree: row 0 is normal, row i + 1 is `types[i]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product as combinations
from pathlib import Path
from string import Formatter
from typing import Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings, read_settings
from edge.frame import GOOD

TABLE = Path(__file__).with_name("knowledge.yaml")
STATE_SLOTS = {"part", "obj", "noun", "adj", "desc"}


class Wording(Settings):
    """Sentence frames.

    `normal` and `defect` describe a state with the slots {part}, {obj} and, for defects, {noun},
    {adj}, {desc}; each state is put into every `photo` frame at {s}.
    """

    normal: tuple[str, ...] = Field(min_length=1)
    defect: tuple[str, ...] = Field(min_length=1)
    photo: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_slots(self) -> Wording:
        for frames, known in (
            (self.normal, {"part", "obj"}),
            (self.defect, STATE_SLOTS),
            (self.photo, {"s"}),
        ):
            for frame in frames:
                unknown = _slots(frame) - known
                if unknown or not _slots(frame):
                    raise ValueError(f"frame {frame!r}: expected slots of {sorted(known)}")
        return self


class DefectType(Settings):
    """One type of defect.

    Attributes:
        nouns, adjectives, descriptions: what the frames' {noun}, {adj} and {desc} become.
        shape: how it lies on the part; `typical_size_pct`: of the part's area.
        colour_change: told by colour rather than by relief.
        cause_hint: where an operator may look first.
        folders: other names of the type, such as data set folders merged into it.
        containing: phrases; a longer name that contains one of them, and none of another type,
            means this type.
    """

    name: str = Field(min_length=1)
    nouns: tuple[str, ...] = Field(min_length=1)
    adjectives: tuple[str, ...] = Field(min_length=1)
    descriptions: tuple[str, ...] = Field(min_length=1)
    shape: Literal["point", "line", "area", "global"] = "area"
    typical_size_pct: float = Field(default=1.0, gt=0, le=100)
    colour_change: bool = False
    severity: Literal["minor", "major", "critical"] = "major"
    cause_hint: str = ""
    folders: tuple[str, ...] = ()
    containing: tuple[str, ...] = ()


class Product(Settings):
    """One product: its descriptive name, the types it may show, and types never to ask about."""

    name: str = Field(min_length=1)
    types: tuple[str, ...]
    excluded: tuple[str, ...] = ()


class Knowledge(Settings):
    """The whole table. `products` maps data set -> product folder -> product."""

    wording: Wording
    types: tuple[DefectType, ...]
    products: dict[str, dict[str, Product]]

    @model_validator(mode="after")
    def _consistent(self) -> Knowledge:
        owner: dict[str, str] = {}
        for kind in self.types:
            for name in (kind.name, *kind.folders):
                other = owner.setdefault(words(name), kind.name)
                if other != kind.name or words(name) == GOOD:
                    raise ValueError(f"{name!r} names both {other!r} and {kind.name!r}")
        for data_set, products in self.products.items():
            for folder, entry in products.items():
                for name in (*entry.types, *entry.excluded):
                    if words(name) not in owner:
                        raise ValueError(f"{data_set}/{folder}: unknown type {name!r}")
                listed = [owner[words(name)] for name in (*entry.types, *entry.excluded)]
                if len(set(listed)) < len(listed):
                    raise ValueError(f"{data_set}/{folder}: a type is listed twice")
        return self

    def find(self, name: str) -> DefectType | None:
        """Look a type up by its name, a merged folder name, or a phrase that it contains."""
        wanted = words(name)
        for kind in self.types:
            if wanted in (words(kind.name), *map(words, kind.folders)):
                return kind
        found = [kind for kind in self.types if _contains(wanted, kind.containing)]
        return found[0] if len(found) == 1 else None

    def type_of(self, folder: str, *, merge: bool = True) -> DefectType:
        """Type of a defect folder's name; an unknown name becomes a type made of its own words.

        `merge` False keeps the folder's words as the type's name even where the table knows it,
        so that folders which the table would merge stay apart.
        """
        known = self.find(folder)
        if known is None:
            return own_words(words(folder))
        return known if merge else known.model_copy(update={"name": words(folder)})

    def type_list(self, folders: Iterable[str], *, merge: bool = True) -> tuple[DefectType, ...]:
        """Distinct types of these folder names in table order, unknown ones last by name.

        `good` is skipped: it is row 0 of every bank.
        """
        places = {kind.name: place for place, kind in enumerate(self.types)}
        found: dict[str, tuple[int, str, DefectType]] = {}
        for folder in folders:
            if words(folder) != GOOD:
                place = places.get(self.type_of(folder).name, len(places))
                kind = self.type_of(folder, merge=merge)
                found[kind.name] = (place, kind.name, kind)
        return tuple(kind for _, _, kind in sorted(found.values(), key=lambda item: item[:2]))

    def row_of(self, folder: str, types: Sequence[DefectType]) -> int | None:
        """Row of a folder's name among `types`: 0 for good, None if its type is not listed."""
        if words(folder) == GOOD:
            return 0
        names = [kind.name for kind in types]
        for name in (words(folder), self.type_of(folder).name):
            if name in names:
                return 1 + names.index(name)
        return None

    def product(self, folder: str, data_set: str | None = None) -> Product | None:
        """Look a product up by its folder's name; the first data set that has it, if none given."""
        for name, products in self.products.items():
            if data_set in (None, name) and folder in products:
                return products[folder]
        return None

    def product_name(self, folder: str) -> str:
        """Descriptive name of a product; an unknown folder's own words."""
        known = self.product(folder)
        return known.name if known else words(folder)

    def product_types(self, folder: str, data_set: str | None = None) -> tuple[DefectType, ...]:
        """Types that a product may show, in table order; all but the excluded if none are listed.

        An unknown product may show every type.
        """
        known = self.product(folder, data_set)
        if known is None:
            return self.types
        if known.types:
            return self.type_list(known.types)
        excluded = {kind.name for kind in self.type_list(known.excluded)}
        return tuple(kind for kind in self.types if kind.name not in excluded)

    def vocabulary(self, data_set: str) -> tuple[DefectType, ...]:
        """All types of a data set's products, in table order."""
        products = self.products[data_set].values()
        return self.type_list(name for product in products for name in product.types)

    def normal_sentences(self, product_name: str) -> tuple[str, ...]:
        """Sentences that describe a good part."""
        return self._photographed(self.wording.normal, product_name, {})

    def defect_sentences(self, product_name: str, kind: DefectType) -> tuple[str, ...]:
        """Sentences that describe a part with a defect of this type."""
        fills = {"noun": kind.nouns, "adj": kind.adjectives, "desc": kind.descriptions}
        return self._photographed(self.wording.defect, product_name, fills)

    def _photographed(
        self, frames: tuple[str, ...], product_name: str, fills: dict[str, tuple[str, ...]]
    ) -> tuple[str, ...]:
        fills = {**fills, "obj": (product_name,), "part": (with_article(product_name),)}
        states: list[str] = []
        for frame in frames:
            slots = sorted(_slots(frame))
            choices = combinations(*(fills[slot] for slot in slots))
            states += [frame.format(**dict(zip(slots, values, strict=True))) for values in choices]
        return tuple(photo.format(s=state) for state in states for photo in self.wording.photo)


@cache
def knowledge() -> Knowledge:
    """Read the packaged table, once."""
    return read_settings(TABLE, Knowledge)


def words(folder: str) -> str:
    """Words of a folder's name: lower case, single spaces for separators."""
    return " ".join(re.split(r"[\s_-]+", folder.strip())).lower()


def with_article(noun: str) -> str:
    """Put "a" or "an" in front, by the first letter."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def own_words(name: str) -> DefectType:
    """Word a type that the table does not know by its name alone."""
    return DefectType(
        name=name,
        nouns=(f"a defect of the kind {name}",),
        adjectives=(f"affected by {name}",),
        descriptions=(f"{name} is visible",),
    )


def _contains(name: str, phrases: Sequence[str]) -> bool:
    return any(f" {phrase} " in f" {name} " for phrase in phrases)


def _slots(frame: str) -> set[str]:
    return {slot for _, slot, _, _ in Formatter().parse(frame) if slot is not None}
