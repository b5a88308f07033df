"""Reviews whose label is far from all that its label says: wrong clicks, to be looked at.

Every picture is described by the features at its highest place, or within the drawing. A ridge
regression tells good from defective, and each picture is judged by a fit without its part. A label
is suspect where its picture lies deeper among the others than a share of these does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RIDGE = 1.0
# Fewer of a kind say nothing of what is usual.
LEAST = 4
# A label is suspect deeper among the others than this share of them.
DEEP = 0.25


def suspects(
    features: NDArray[np.float32], is_good: NDArray[np.bool_], parts: Sequence[str]
) -> NDArray[np.bool_]:
    """Tell which labels are suspect.

    Args:
        features: (n, C), one row for each picture.
        is_good: (n,) labels.
        parts: of the pictures; a part is judged by the others.

    Returns:
        (n,) bool; nothing is suspect where either kind has fewer than LEAST parts.
    """
    names = np.asarray(parts)
    nothing = np.zeros(len(features), np.bool_)
    if min(len(set(names[is_good])), len(set(names[~is_good]))) < LEAST:
        return nothing
    values = np.empty(len(features))
    for name in dict.fromkeys(parts):
        out = names == name
        values[out] = _fitted(features[~out], is_good[~out], features[out])
    good, defects = values[is_good], values[~is_good]
    found = nothing.copy()
    found[is_good] = good > max(0.0, np.quantile(defects, DEEP))
    found[~is_good] = defects < min(0.0, np.quantile(good, 1 - DEEP))
    return found


def _fitted(
    features: NDArray[np.float32], is_good: NDArray[np.bool_], judged: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Values of rows by a ridge regression: about 1 for defects and -1 for good parts."""
    centre = features.mean(0)
    inputs = features - centre
    scale = max(float(np.sqrt((inputs**2).sum(1).mean())), 1e-6)
    inputs, target = inputs / scale, np.where(is_good, -1.0, 1.0)
    # Both kinds weigh alike, however many there are of each.
    weight = np.where(is_good, 0.5 / is_good.mean(), 0.5 / (~is_good).mean())
    # In the space of the pictures, of which there are fewer than features.
    kernel = inputs @ inputs.T + 1.0  # the constant is the bias
    alpha = np.linalg.solve(kernel + RIDGE * np.diag(1 / weight), target)
    return np.asarray((((judged - centre) / scale) @ inputs.T + 1.0) @ alpha, np.float64)
