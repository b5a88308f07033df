"""Wrong clicks stand out among reviews; few reviews accuse nobody."""

from __future__ import annotations

import numpy as np

from edge.methods.update.suspects import suspects


def reviewed(count: int, wrong: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Good pictures at one place, defects at another, and labels that some people got wrong."""
    rng = np.random.default_rng(0)
    is_good = np.arange(count) % 2 == 0
    features = rng.normal(size=(count, 40)).astype(np.float32)
    features[:, 0] += np.where(is_good, -6, 6)
    labels = is_good.copy()
    labels[list(wrong)] = ~labels[list(wrong)]
    return features, labels, [f"p{index}" for index in range(count)]


def test_wrong_clicks_are_found_and_no_others() -> None:
    found = suspects(*reviewed(40, (3, 8)))
    assert np.flatnonzero(found).tolist() == [3, 8]
    assert not suspects(*reviewed(40, ())).any()


def test_few_reviews_accuse_nobody() -> None:
    assert not suspects(*reviewed(6, (3,))).any()


def test_pictures_of_a_part_are_judged_by_the_other_parts() -> None:
    """Two clicks on one part must not vouch for each other."""
    features, labels, parts = reviewed(40, (3, 5))
    features[5], parts[5] = features[3], parts[3]
    assert suspects(features, labels, parts)[[3, 5]].all()
