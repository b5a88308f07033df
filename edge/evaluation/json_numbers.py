"""Measured values as JSON has them."""

from __future__ import annotations

import math
from typing import Any


def rounded(tree: dict[str, Any]) -> dict[str, Any]:
    """Copy dicts within dicts with NaN as None and floats at six digits."""
    return {name: _rounded(item) for name, item in tree.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return rounded(value)
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
