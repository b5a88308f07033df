"""How two records differ."""

from __future__ import annotations

from edge.training.resume import differences, in_one_line


def test_every_key_that_differs_is_named_with_both_values() -> None:
    stored = {"preset": "lite", "training": {"steps": 3, "shots": None}, "types": ["a"]}
    wanted = {"preset": "lite", "training": {"steps": 4, "shots": 2}, "types": ["a", "b"]}
    assert differences(stored, wanted) == [
        "training.steps is 3 there, 4 here",
        "training.shots is none there, 2 here",
        "types is a there, a, b here",
    ]
    assert differences(stored, stored) == []


def test_keys_that_only_one_side_has_are_named() -> None:
    assert differences({"a": {"x": 1}}, {"a": None, "b": 2}) == [
        "a is {'x': 1} there, none here",
        "b is none there, 2 here",
    ]


def test_long_values_are_left_out_and_a_line_names_three() -> None:
    stored = {"sha": "0" * 64, "b": 1, "c": 1, "d": 1, "e": 1}
    wanted = {"sha": "1" * 64, "b": 2, "c": 2, "d": 2, "e": 2}
    line = in_one_line(differences(stored, wanted))
    assert line == "sha is another; b is 1 there, 2 here; c is 1 there, 2 here; and 2 more"
