"""The words of the page, in English, German and French."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

LANGUAGES = ("en", "de", "fr")


class Words:
    """Words of one language; a key that it lacks is shown in English.

    Args:
        language: one of LANGUAGES.
    """

    def __init__(self, language: str):
        self.language = language
        self._own, self._english = _table(language), _table("en")

    def __call__(self, key: str, **values: object) -> str:
        """Return the words of a key with values in them; the key itself where nobody knows it."""
        text = self._own.get(key) or self._english.get(key)
        if text is None:
            return key.rpartition(".")[2].replace("_", " ")
        return text.format(**values) if values else text


def choose_language(asked: str | None, accepted: str, default: str) -> str:
    """Return the language of a visitor.

    Args:
        asked: what was chosen on the page, None without a choice.
        accepted: the browser's Accept-Language.
        default: of the dashboard.
    """
    if asked in LANGUAGES:
        return str(asked)
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return default


@cache
def _table(language: str) -> Mapping[str, str]:
    path = files("edge.dashboard") / "translations" / f"{language}.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        f"{section}.{key}": str(text)
        for section, words in found.items()
        for key, text in words.items()
    }
