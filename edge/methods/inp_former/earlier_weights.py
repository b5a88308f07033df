"""Names that files of weights of earlier versions have for a detector's tensors.

This is the only place that knows them: `Detector.load_state_dict` reads both old and new names.
Earlier versions held the constants of all branches side by side in one vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.methods.inp_former.branches import HEAD, MEMORY, POSITION, PRELABEL_PROBE, PROBE

# Vectors over all maps: the old name, and the constant of each branch that holds its part now.
VECTORS = {
    "fuse.weight": "weight",
    "fuse.offset": "offset",
    "fuse.scale": "scale",
    "before_weight": "prelabel_weight",
}
# Scorers: the old first part of a name, and the branch that owns the scorer now.
SCORERS = {
    "head": HEAD,
    "memory": MEMORY,
    "position": POSITION,
    "probe_before": PRELABEL_PROBE,
    "probe": PROBE,
}
CONSTANTS = {"before_line": "prelabel_rescale", "image_line": "image.rescale"}


def with_new_names(state: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return a state dict under the names that a detector has now.

    Args:
        state: tensors by their old or new names.
        counts: number of maps of each branch, in their order.
    """
    named: dict[str, Any] = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if name in VECTORS and len(value) == sum(counts.values()):
            parts = value.split(list(counts.values()))
            for branch, part in zip(counts, parts, strict=True):
                named[f"branches.{branch}.{VECTORS[name]}"] = part
        elif first in SCORERS:
            named[f"branches.{SCORERS[first]}.scorer.{rest}"] = value
        else:
            named[CONSTANTS.get(name, name)] = value
    return named
