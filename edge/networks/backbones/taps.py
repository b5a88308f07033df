"""Where features are taken from a backbone."""

from __future__ import annotations


def check_taps(taps: tuple[int, ...], depth: int) -> None:
    """Check the indices of the blocks or stages of a network whose outputs are features.

    Raises:
        ValueError: there are none, they do not ascend, or one is not in 0..`depth` - 1.
    """
    if not taps or list(taps) != sorted(set(taps)) or taps[0] < 0 or taps[-1] >= depth:
        raise ValueError(f"taps: expected ascending indices in 0..{depth - 1}, got {taps}")
