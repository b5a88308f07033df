"""One sentence per region, in every language and for every case."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from edge.config.station import Language, StationConfig
from edge.messages.finding import FOLDER, PLACES, Wording, place_of, wording
from edge.messages.payload import schema
from edge.result import UNKNOWN_TYPE
from tests.support.mqtt_results import IDENTITY, MODEL, SCRATCH, make_inspection, result_payload

LANGUAGES = get_args(Language)
SIZE_WH = (900, 600)


def region_at(place: str, **changes):
    if place == "everywhere":
        box = (0, 0, *SIZE_WH)
    else:
        row, column = divmod(PLACES.index(place), 3)
        box = (300 * column + 100, 200 * row + 50, 60, 20)
    return replace(SCRATCH, bbox_xywh=box, **changes)


def test_every_language_has_its_file_and_no_other() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(LANGUAGES)
    assert len(LANGUAGES) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_renders_for_every_case(language: Language) -> None:
    said = set()
    cases = list(product(PLACES, ("scratch", UNKNOWN_TYPE), (None, 0.05), (False, True)))
    for place, kind, scale, vetoed in cases:
        region = region_at(
            place, type=kind, area_mm2=scale and 1.92, vetoed=vetoed, false_alarm=0.97
        )
        text = wording(language).finding(region, SIZE_WH, scale)
        assert not re.search(r"[{}_]|None|nan", text), text
        assert text[0].isupper()
        assert bool(re.search(r"\bmm\b", text)) == (scale is not None), text
        assert wording(language).places[place] in text
        assert ("97 %" in text) == vetoed
        said.add(text)
    assert len(said) == len(cases), "no two cases read alike"


@pytest.mark.parametrize("language", LANGUAGES)
def test_unknown_has_words_of_its_own_and_claims_no_type(language: Language) -> None:
    unknown = wording(language).finding(region_at("top", type=UNKNOWN_TYPE), SIZE_WH, None)
    named = wording(language).finding(region_at("top"), SIZE_WH, None)
    assert "74 %" in named
    assert "74 %" not in unknown
    assert UNKNOWN_TYPE not in unknown or language == "en"
    # A name without a confidence is one that nobody asked for.
    unasked = wording(language).finding(region_at("top", type_score=None), SIZE_WH, None)
    assert unasked == unknown


def test_english_reads_as_written_down() -> None:
    words = wording("en")
    assert words.finding(SCRATCH, (2448, 2048), 0.05) == (
        "Scratch at the top left, 3.1 × 0.90 mm (1.9 mm²), type 74 % certain"
    )
    large = replace(SCRATCH, type="mouse_bite", area_px=51_234.0, area_mm2=None)
    assert words.finding(large, (2448, 2048), None) == (
        "Mouse bite at the top left, 1.0 % of the picture, type 74 % certain"
    )
    tiny = replace(SCRATCH, type=UNKNOWN_TYPE, area_px=6.0)
    assert words.finding(tiny, (2448, 2048), None) == (
        "Something unusual of unknown type at the top left, 0.00012 % of the picture"
    )


def test_numbers_take_the_languages_decimal_mark_and_no_false_certainty() -> None:
    sure = replace(SCRATCH, type_score=0.9999)
    text = wording("de").finding(sure, (2448, 2048), 0.05)
    assert text == "Kratzer oben links, 3,1 × 0,90 mm (1,9 mm²), Art zu 99 % sicher"
    wide = replace(SCRATCH, bbox_xywh=(0, 0, 2000, 246), area_mm2=1234.56)
    assert "100 × 12 mm (1235 mm²)" in wording("fr").finding(wide, (2448, 2048), 0.05)


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((0, 0, 10, 10), "top_left"),
        ((445, 0, 10, 10), "top"),
        ((890, 590, 10, 10), "bottom_right"),
        ((300, 200, 300, 200), "centre"),
        ((0, 0, 900, 10), "top"),
        ((0, 0, 900, 600), "everywhere"),
        ((599, 399, 2, 2), "bottom_right"),
        ((598, 398, 2, 2), "centre"),
    ],
)
def test_the_place_is_that_of_the_boxs_centre(box, place) -> None:
    assert place_of(box, SIZE_WH) == place


def test_the_payload_carries_the_stations_language() -> None:
    inspection = make_inspection()
    for language in LANGUAGES:
        payload = result_payload(inspection, IDENTITY, MODEL, language)
        numbered = {**payload, "msg_id": "01a20156-2dbd-7976-834c-b15a7e31f5c6", "seq": 1}
        Draft202012Validator(schema("result")).validate(numbered)
        (region,) = payload["defects"][0]["regions"]
        assert region["finding"] == wording(language).finding(SCRATCH, (2448, 2048), 0.05)
    assert StationConfig.model_fields["language"].default == "en"


def words_of(language: Language) -> dict:
    return wording(language).model_dump()


@pytest.mark.parametrize(
    "wrong",
    [
        {"named": "{type} {place}, {size}"},
        {"unknown": "{type} {place}, {size}"},
        {"size_mm": "{width}"},
        {"places": {"top": "at the top"}},
        {"places": {**words_of("en")["places"], "middle": "x"}},
    ],
)
def test_a_file_that_forgets_something_is_refused(wrong) -> None:
    Wording.model_validate(words_of("en"))
    with pytest.raises(ValidationError):
        Wording.model_validate({**words_of("en"), **wrong})


def test_every_type_of_the_knowledge_base_has_its_word() -> None:
    """Read as text: the knowledge base belongs to training, which a station may not have."""
    table = Path(__file__).parents[2] / "edge" / "networks" / "text" / "knowledge.yaml"
    names = re.findall(r"^  - name: (.+)$", table.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 40
    for language in set(LANGUAGES) - {"en"}:
        missing = set(names) - set(wording(language).types)
        assert not missing, (language, missing)
